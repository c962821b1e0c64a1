//! What can be chosen about a network, and what is refused.

use super::{Graph, classifier, unet, unet_classifier};
use serde::{Deserialize, Serialize};

/// Largest number of channels that a layer may have; a configuration beyond it is a typing error.
const MAX_CHANNELS: usize = 8192;
/// Most levels of a U-Net: seven halvings of a 128-pixel image leave one pixel.
const MAX_LEVELS: usize = 8;

/// A network: which one, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NetConfig {
    /// Segmentation: one logit per pixel.
    Unet(UnetConfig),
    /// Classification, first variant of the paper's lineage: four wide convolutions.
    ClassifierA(ClassifierAConfig),
    /// Classification, second variant: pairs of narrow convolutions.
    ClassifierB(ClassifierBConfig),
    /// Classification by the encoder of a U-Net, whose weights can be taken over from a trained one.
    Encoder(UnetClassifierConfig),
    /// Classification by how much a whole U-Net marks, whose weights can be taken over from a trained one.
    UnetArea(UnetClassifierConfig),
}

/// The U-Net: encoder, bottleneck, decoder, skips by concatenation.
///
/// Fields that were added later are left out where they have their default, so that networks without them keep the bytes
/// of their settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Channels of the input image.
    pub in_channels: usize,
    /// Channels of the first level; each further level doubles them.
    pub base: usize,
    /// Resolutions, the bottleneck included; sides of the image must be divisible by `2^(levels - 1)`.
    pub levels: usize,
    /// Share of the bottleneck's values set to zero while training.
    pub dropout: f64,
    /// Normalisation after each 3x3 convolution.
    pub norm: Norm,
    /// Added to the variance before its root.
    pub norm_eps: f64,
    /// Share of the old running statistics that is kept per step (Keras's meaning; PyTorch's is one minus this).
    pub norm_momentum: f64,
    /// Distribution of the first weights.
    pub init: Init,
    /// What a pair of convolutions is.
    #[serde(skip_serializing_if = "is_default")]
    pub block: Block,
    /// What the way up takes over from the way down, and how.
    #[serde(skip_serializing_if = "is_default")]
    pub skips: Skips,
    /// Whether the coarser levels of the way up are trained to give the truth at their size, too.
    #[serde(skip_serializing_if = "is_default")]
    pub deep_supervision: bool,
}

/// Classifier of the first variant: per width a 3x3 convolution, ReLU, max-pool, batch norm; then global average
/// pool, dense, dropout, one logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierAConfig {
    /// Channels of the input image.
    pub in_channels: usize,
    /// Channels of the convolutions, one pooling each.
    pub widths: Vec<usize>,
    /// Width of the dense layer.
    pub dense: usize,
    /// Share of the dense layer's values set to zero while training.
    pub dropout: f64,
    /// Added to the variance before its root.
    pub norm_eps: f64,
    /// Share of the old running statistics that is kept per step.
    pub norm_momentum: f64,
    /// Distribution of the first weights.
    pub init: Init,
}

/// Classifier of the second variant: per width two times 3x3 convolution, ReLU, batch norm, then a max-pool; then
/// global average pool, dense, dropout, one logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierBConfig {
    /// Channels of the input image.
    pub in_channels: usize,
    /// Channels of the pairs, one pooling each.
    pub widths: Vec<usize>,
    /// Width of the dense layer.
    pub dense: usize,
    /// Share of the dense layer's values set to zero while training.
    pub dropout: f64,
    /// Added to the variance before its root.
    pub norm_eps: f64,
    /// Share of the old running statistics that is kept per step.
    pub norm_momentum: f64,
    /// Distribution of the first weights.
    pub init: Init,
}

/// Classifier made of a U-Net (with batch norm), by its encoder or the whole of it; then global average pool, dense,
/// dropout, one logit. Its layers carry the names of the U-Net's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetClassifierConfig {
    /// Channels of the input image.
    pub in_channels: usize,
    /// Channels of the first level; each further level doubles them.
    pub base: usize,
    /// Resolutions; sides of the image must be divisible by `2^(levels - 1)`.
    pub levels: usize,
    /// Width of the dense layer.
    pub dense: usize,
    /// Share of the dense layer's values set to zero while training.
    pub dropout: f64,
    /// Added to the variance before its root.
    pub norm_eps: f64,
    /// Share of the old running statistics that is kept per step.
    pub norm_momentum: f64,
    /// Distribution of the first weights.
    pub init: Init,
    /// What a pair of convolutions is: as in the U-Net whose weights are taken over.
    #[serde(skip_serializing_if = "is_default")]
    pub block: Block,
}

/// What a pair of convolutions of a U-Net is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// One after the other.
    #[default]
    Plain,
    /// What goes in is added before the second ReLU (He et al. 2016, arXiv 1512.03385).
    Residual,
}

/// What the way up of a U-Net takes over from the way down, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skips {
    /// The maps of each level as they are.
    #[default]
    Plain,
    /// The maps of each level, each pixel of them as far as an attention gate lets it through (Oktay et al. 2018, arXiv
    /// 1804.03999).
    Gated,
    /// Blocks between the way down and the way up, as in U-Net++ (Zhou et al. 2018, arXiv 1807.10165).
    Nested,
}

/// Normalisation after a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation; the convolution before it has no bias.
    Batch,
    /// None; the convolution has a bias.
    None,
}

/// Distribution of the first weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with variance `2 / fan_in`, truncated at two standard deviations (Keras's `he_normal`).
    HeNormal,
    /// Uniform within `sqrt(6 / (fan_in + fan_out))` (Keras's `glorot_uniform`).
    GlorotUniform,
}

/// A network that cannot be built, or an image that it cannot take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NetError {
    /// A size of the network outside its range.
    #[error("{what} is {found}, right would be {right}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// The range.
        right: String,
    },
    /// An image whose sides do not suit the poolings.
    #[error("image of {height} x {width} pixels, this network takes sides divisible by {multiple}")]
    ImageSize {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// What the sides must be a multiple of.
        multiple: usize,
    },
}

impl Block {
    /// What it is where that is no plain one, with a comma before it.
    fn words(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Residual => ", residual blocks",
        }
    }
}

impl UnetConfig {
    /// What was chosen beside its sizes, in words, each with a comma before it; empty for the plain network.
    pub fn choices(&self) -> String {
        let block = self.block.words();
        let skips = match self.skips {
            Skips::Plain => "",
            Skips::Gated => ", gated skips",
            Skips::Nested => ", nested skips",
        };
        let deep = if self.deep_supervision { ", deep supervision" } else { "" };
        format!("{block}{skips}{deep}")
    }
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            base: 32,
            levels: 5,
            dropout: 0.25,
            norm: Norm::Batch,
            norm_eps: 1e-3,
            norm_momentum: 0.99,
            init: Init::HeNormal,
            block: Block::Plain,
            skips: Skips::Plain,
            deep_supervision: false,
        }
    }
}

impl Default for ClassifierAConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            widths: vec![64, 64, 128, 256],
            dense: 512,
            dropout: 0.3,
            norm_eps: 1e-3,
            norm_momentum: 0.99,
            init: Init::GlorotUniform,
        }
    }
}

impl Default for ClassifierBConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            widths: vec![16, 32, 64],
            dense: 32,
            dropout: 0.4,
            norm_eps: 1e-3,
            norm_momentum: 0.99,
            init: Init::GlorotUniform,
        }
    }
}

impl Default for UnetClassifierConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            base: 16,
            levels: 5,
            dense: 64,
            dropout: 0.3,
            norm_eps: 1e-3,
            norm_momentum: 0.9,
            init: Init::HeNormal,
            block: Block::Plain,
        }
    }
}

impl NetConfig {
    /// The layers of this network.
    ///
    /// # Errors
    /// A size, share or count outside its range.
    pub fn graph(&self) -> Result<Graph, NetError> {
        match self {
            Self::Unet(c) => {
                check_common(c.in_channels, c.dropout, c.norm_eps, c.norm_momentum)?;
                check_levels(c.base, c.levels)?;
                if c.skips != Skips::Plain {
                    within("levels of a network with gated or nested skips", c.levels, 2, MAX_LEVELS)?;
                }
                if c.deep_supervision {
                    within("levels of a network with deep supervision", c.levels, 3, MAX_LEVELS)?;
                }
                Ok(unet::graph(c))
            }
            Self::ClassifierA(c) => {
                check_common(c.in_channels, c.dropout, c.norm_eps, c.norm_momentum)?;
                check_widths(&c.widths, c.dense)?;
                Ok(classifier::graph_a(c))
            }
            Self::ClassifierB(c) => {
                check_common(c.in_channels, c.dropout, c.norm_eps, c.norm_momentum)?;
                check_widths(&c.widths, c.dense)?;
                Ok(classifier::graph_b(c))
            }
            Self::Encoder(c) | Self::UnetArea(c) => {
                check_common(c.in_channels, c.dropout, c.norm_eps, c.norm_momentum)?;
                check_levels(c.base, c.levels)?;
                within("dense", c.dense, 1, MAX_CHANNELS)?;
                Ok(match self {
                    Self::UnetArea(_) => unet_classifier::area(c),
                    _ => unet_classifier::encoder(c),
                })
            }
        }
    }

    /// Slices that go in together.
    pub fn in_channels(&self) -> usize {
        match self {
            Self::Unet(c) => c.in_channels,
            Self::ClassifierA(c) => c.in_channels,
            Self::ClassifierB(c) => c.in_channels,
            Self::Encoder(c) | Self::UnetArea(c) => c.in_channels,
        }
    }

    /// Which network and how wide, in a few words.
    pub fn summary(&self) -> String {
        let widths = |w: &[usize]| w.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Unet(c) => format!("U-Net, base {}, {} levels{}", c.base, c.levels, c.choices()),
            Self::ClassifierA(c) => format!("classifier A, widths {}", widths(&c.widths)),
            Self::ClassifierB(c) => format!("classifier B, widths {}", widths(&c.widths)),
            Self::Encoder(c) => {
                let block = c.block.words();
                format!("U-Net encoder with a dense layer, base {}, {} levels{block}", c.base, c.levels)
            }
            Self::UnetArea(c) => {
                let (base, levels, block) = (c.base, c.levels, c.block.words());
                format!("U-Net with a dense layer on what it marks, base {base}, {levels} levels{block}")
            }
        }
    }

    /// What its pairs of convolutions are, where it is a U-Net or made of one.
    pub fn block(&self) -> Option<Block> {
        match self {
            Self::Unet(c) => Some(c.block),
            Self::Encoder(c) | Self::UnetArea(c) => Some(c.block),
            Self::ClassifierA(_) | Self::ClassifierB(_) => None,
        }
    }

    /// Distribution of the first weights.
    pub fn init(&self) -> Init {
        match self {
            Self::Unet(c) => c.init,
            Self::ClassifierA(c) => c.init,
            Self::ClassifierB(c) => c.init,
            Self::Encoder(c) | Self::UnetArea(c) => c.init,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn check_common(in_channels: usize, dropout: f64, eps: f64, momentum: f64) -> Result<(), NetError> {
    within("in_channels", in_channels, 1, MAX_CHANNELS)?;
    share("dropout", dropout, (0.0..1.0).contains(&dropout))?;
    share("norm_momentum", momentum, (0.0..1.0).contains(&momentum))?;
    share("norm_eps", eps, eps > 0.0 && eps < 1.0)
}

fn check_levels(base: usize, levels: usize) -> Result<(), NetError> {
    within("base", base, 1, MAX_CHANNELS)?;
    within("levels", levels, 1, MAX_LEVELS)?;
    within("channels of the bottleneck", base << (levels - 1), 1, MAX_CHANNELS)
}

fn check_widths(widths: &[usize], dense: usize) -> Result<(), NetError> {
    within("number of widths", widths.len(), 1, MAX_LEVELS)?;
    for &w in widths {
        within("width", w, 1, MAX_CHANNELS)?;
    }
    within("dense", dense, 1, MAX_CHANNELS)
}

fn within(what: &'static str, found: usize, low: usize, high: usize) -> Result<(), NetError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(NetError::Setting { what, found: found.to_string(), right: format!("{low} to {high}") })
}

fn share(what: &'static str, found: f64, ok: bool) -> Result<(), NetError> {
    if ok {
        return Ok(());
    }
    Err(NetError::Setting { what, found: found.to_string(), right: "at least 0 and below 1".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_of_a_network_is_refused_by_name() {
        let error =
            serde_json::from_str::<NetConfig>(r#"{"kind":"unet","bases":8}"#).unwrap_err().to_string();
        assert!(error.contains("bases"), "{error}");
        let net: NetConfig = serde_json::from_str(r#"{"kind":"unet","base":8}"#).unwrap();
        assert_eq!(net, NetConfig::Unet(UnetConfig { base: 8, ..UnetConfig::default() }));
    }

    #[test]
    fn what_was_added_to_a_unet_leaves_the_settings_of_others_as_they_were() {
        let text = serde_json::to_string(&NetConfig::Unet(UnetConfig::default())).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"unet","in_channels":1,"base":32,"levels":5,"dropout":0.25,"norm":"batch","norm_eps":0.001,"norm_momentum":0.99,"init":"he_normal"}"#
        );
        let chosen = UnetConfig {
            block: Block::Residual,
            skips: Skips::Nested,
            deep_supervision: true,
            ..UnetConfig::default()
        };
        let net = NetConfig::Unet(chosen);
        let text = serde_json::to_string(&net).unwrap();
        assert!(text.ends_with(r#""block":"residual","skips":"nested","deep_supervision":true}"#), "{text}");
        assert_eq!(serde_json::from_str::<NetConfig>(&text).unwrap(), net);
        assert_eq!(
            net.summary(),
            "U-Net, base 32, 5 levels, residual blocks, nested skips, deep supervision"
        );
        let encoder = UnetClassifierConfig { block: Block::Residual, ..UnetClassifierConfig::default() };
        let text = serde_json::to_string(&NetConfig::Encoder(encoder.clone())).unwrap();
        assert!(text.ends_with(r#""block":"residual"}"#), "{text}");
        assert_eq!(serde_json::from_str::<NetConfig>(&text).unwrap(), NetConfig::Encoder(encoder));
        let text = serde_json::to_string(&NetConfig::Encoder(UnetClassifierConfig::default())).unwrap();
        assert!(text.ends_with(r#""init":"he_normal"}"#), "{text}");
        for bad in [r#"{"kind":"unet","block":"wide"}"#, r#"{"kind":"encoder","skips":"gated"}"#] {
            assert!(serde_json::from_str::<NetConfig>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_outside_their_range_are_refused() {
        for (config, word) in [
            (UnetConfig { base: 0, ..UnetConfig::default() }, "base"),
            (UnetConfig { levels: 0, ..UnetConfig::default() }, "levels"),
            (UnetConfig { levels: 60, ..UnetConfig::default() }, "levels"),
            (UnetConfig { dropout: 1.0, ..UnetConfig::default() }, "dropout"),
            (UnetConfig { dropout: f64::NAN, ..UnetConfig::default() }, "dropout"),
            (UnetConfig { base: 4096, ..UnetConfig::default() }, "bottleneck"),
            (
                UnetConfig { levels: 2, deep_supervision: true, ..UnetConfig::default() },
                "deep supervision is 2",
            ),
            (UnetConfig { levels: 1, skips: Skips::Gated, ..UnetConfig::default() }, "nested skips is 1"),
        ] {
            let error = NetConfig::Unet(config).graph().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

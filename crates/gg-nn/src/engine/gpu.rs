//! Graphics cards: which of them this program and this machine have, and one of them opened for [`super::BurnEngine`].
//!
//! The Cargo feature `wgpu` reaches them through Vulkan, Metal and DirectX 12, `cuda` through NVIDIA's driver; without
//! either, the list is empty. Looking for cards opens none of them: a runtime that is asked to open a card that is not
//! there ends the program, so what is opened was found before.

use super::{EngineError, Precision};
use burn::tensor::{DType, Device};

/// The interface through which a card is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuApi {
    /// NVIDIA's own.
    Cuda,
    /// Linux, Windows, Android.
    Vulkan,
    /// Apple.
    Metal,
    /// Windows.
    Dx12,
}

/// What a card is, the fastest kind first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuKind {
    /// With memory of its own.
    Discrete,
    /// Beside the processor, in its memory.
    Integrated,
    /// Lent by a host.
    Virtual,
    /// No card: a program that draws on the processor. Slow; of use for tests.
    Software,
}

/// A card that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// As the driver says.
    pub name: String,
    /// How it is reached.
    pub api: GpuApi,
    /// What it is.
    pub kind: GpuKind,
    /// Place among the cards of the same interface and kind.
    place: usize,
}

/// A card that is open.
#[derive(Debug, Clone)]
pub struct Gpu {
    info: GpuInfo,
    pub(super) device: Device,
}

impl GpuApi {
    /// All of them, and the order of the list.
    pub const ALL: [Self; 4] = [Self::Cuda, Self::Vulkan, Self::Metal, Self::Dx12];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
        }
    }

    /// Whether this program was built with what reaches such cards.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Vulkan | Self::Metal | Self::Dx12 => cfg!(feature = "wgpu"),
        }
    }
}

impl GpuKind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
        }
    }
}

/// Every card that this program can reach, real ones before software. One that two interfaces reach stands there twice.
pub fn gpus() -> Vec<GpuInfo> {
    let mut found = Vec::new();
    #[cfg(feature = "cuda")]
    found.extend(cuda_cards());
    #[cfg(feature = "wgpu")]
    found.extend(wgpu_cards());
    found.sort_by_key(|gpu: &GpuInfo| gpu.kind == GpuKind::Software);
    found
}

impl GpuInfo {
    /// Opens the card; once in a program, for a second time is refused.
    ///
    /// # Errors
    /// What the driver says.
    pub fn open(&self) -> Result<Gpu, EngineError> {
        let device = self.open_device()?;
        let name = name_of(&device).unwrap_or_else(|| self.name.clone());
        Ok(Gpu { info: Self { name, ..self.clone() }, device })
    }

    fn open_device(&self) -> Result<Device, EngineError> {
        match self.api {
            #[cfg(feature = "cuda")]
            GpuApi::Cuda => Ok(Device::cuda(self.place)),
            #[cfg(feature = "wgpu")]
            GpuApi::Vulkan | GpuApi::Metal | GpuApi::Dx12 => open_wgpu(self),
            #[allow(unreachable_patterns)] // where every feature is on
            api => Err(EngineError::Failed(format!("this program was built without {}", api.name()))),
        }
    }
}

impl Gpu {
    /// The card.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// Whether convolutions can multiply in this precision here.
    pub fn has(&self, precision: Precision) -> bool {
        match precision {
            Precision::Fp32 => true,
            Precision::Bf16 => self.device.supports_dtype(DType::BF16),
            Precision::Int8 => false,
        }
    }
}

/// What an open card is called.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn name_of(device: &Device) -> Option<String> {
    device.identity().map(|identity| identity.name)
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
fn name_of(_: &Device) -> Option<String> {
    None
}

#[cfg(feature = "cuda")]
fn cuda_cards() -> Vec<GpuInfo> {
    use burn::tensor::DeviceType;
    let count = Device::enumerate(DeviceType::Cuda).into_vec().len();
    // A card says its name when it is opened.
    let card = |place| GpuInfo {
        name: format!("NVIDIA card {place}"),
        api: GpuApi::Cuda,
        kind: GpuKind::Discrete,
        place,
    };
    (0..count).map(card).collect()
}

#[cfg(feature = "wgpu")]
fn wgpu_cards() -> Vec<GpuInfo> {
    use burn::tensor::wgpu::wgpu;
    let apis = [
        (GpuApi::Vulkan, wgpu::Backends::VULKAN),
        (GpuApi::Metal, wgpu::Backends::METAL),
        (GpuApi::Dx12, wgpu::Backends::DX12),
    ];
    let mut found: Vec<GpuInfo> = Vec::new();
    for (api, backends) in apis {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        for adapter in at_once(instance.enumerate_adapters(backends)).unwrap_or_default() {
            let info = adapter.get_info();
            let kind = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => GpuKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => GpuKind::Integrated,
                wgpu::DeviceType::VirtualGpu => GpuKind::Virtual,
                wgpu::DeviceType::Cpu => GpuKind::Software,
                wgpu::DeviceType::Other => continue, // Burn cannot name it
            };
            let place = found.iter().filter(|gpu| (gpu.api, gpu.kind) == (api, kind)).count();
            found.push(GpuInfo { name: info.name, api, kind, place });
        }
    }
    // Of the programs that draw on the processor, Burn opens the first alone.
    found.retain(|gpu| gpu.kind != GpuKind::Software || gpu.place == 0);
    found.sort_by_key(|gpu| gpu.kind);
    found
}

#[cfg(feature = "wgpu")]
fn open_wgpu(gpu: &GpuInfo) -> Result<Device, EngineError> {
    use burn::tensor::{DeviceKind, wgpu::WgpuBackend};
    let kind = match gpu.kind {
        GpuKind::Discrete => DeviceKind::DiscreteGpu(gpu.place),
        GpuKind::Integrated => DeviceKind::IntegratedGpu(gpu.place),
        GpuKind::Virtual => DeviceKind::VirtualGpu(gpu.place),
        GpuKind::Software => DeviceKind::Cpu,
    };
    let api = match gpu.api {
        GpuApi::Metal => WgpuBackend::Metal,
        GpuApi::Dx12 => WgpuBackend::Dx12,
        GpuApi::Vulkan | GpuApi::Cuda => WgpuBackend::Vulkan,
    };
    Device::wgpu_options()
        .device_kind(kind)
        .graphics_api(api)
        .init()
        .map_err(|e| EngineError::Failed(format!("{} cannot be opened: {e}", gpu.name)))
}

/// What a future that never waits gives, as those of the desktop's interfaces do.
#[cfg(feature = "wgpu")]
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    use std::task::{Context, Poll, Waker};
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

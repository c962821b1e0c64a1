//! `--device`: which graphics cards this program and this machine have, and the one that was asked for, opened.

use super::answer;
use crate::args::DeviceName;
use crate::failure::Usage;
use anyhow::{Context as _, Result, bail};
use gg_nn::engine::{Gpu, GpuApi, GpuInfo, GpuKind, gpus};
use serde::Serialize;

/// One line of `--device list`.
#[derive(Serialize)]
struct Row {
    /// What `--device` takes.
    device: String,
    name: String,
    /// How the card is reached.
    api: Option<&'static str>,
    kind: &'static str,
}

/// Prints the devices that `--device` takes here.
pub(crate) fn list(json: bool) -> Result<()> {
    let mut rows =
        vec![Row { device: "cpu".to_owned(), name: "this processor".to_owned(), api: None, kind: "cpu" }];
    rows.extend(gpus().into_iter().enumerate().map(|(i, gpu)| Row {
        device: format!("gpu:{i}"),
        name: gpu.name,
        api: Some(gpu.api.name()),
        kind: gpu.kind.name(),
    }));
    answer(json, &rows, || {
        let line = |r: &Row| match r.api {
            Some(api) => format!("{:<8} {} ({}, through {api})", r.device, r.name, r.kind),
            None => format!("{:<8} {}", r.device, r.name),
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        if rows.len() == 1 {
            lines.push(format!("no gpu: {}", absent(None)));
        }
        lines.join("\n")
    })
}

/// Opens the card that was asked for; none for the CPU.
pub(super) fn open(name: DeviceName) -> Result<Option<Gpu>> {
    let DeviceName::Gpu(api, place) = name else { return Ok(None) };
    if !built_in(api) {
        return Err(Usage(format!("--device {name}: {}; right would be cpu", absent(api))).into());
    }
    let found = gpus();
    let card = pick(&found, api, place).with_context(|| format!("--device {name}"))?;
    let gpu = card.open().with_context(|| format!("--device {name}"))?;
    Ok(Some(gpu))
}

/// Whether this program was built with what reaches such cards, or any.
fn built_in(api: Option<GpuApi>) -> bool {
    match api {
        Some(api) => api.is_built_in(),
        None => GpuApi::ALL.into_iter().any(GpuApi::is_built_in),
    }
}

/// Why there is no such card.
fn absent(api: Option<GpuApi>) -> String {
    let features = match api {
        Some(GpuApi::Cuda) => "`--features cuda`",
        Some(_) => "`--features wgpu`",
        None => "`--features wgpu` (Vulkan, Metal, DirectX 12) or `--features cuda`",
    };
    let ways = match api {
        Some(api) => api.name().to_owned(),
        None => {
            let built = GpuApi::ALL.into_iter().filter(|api| api.is_built_in());
            built.map(GpuApi::name).collect::<Vec<_>>().join(", ")
        }
    };
    match built_in(api) {
        true => format!("no GPU was found through {ways}"),
        false if api.is_some() => format!("this program was built without {ways}; {features} builds it in"),
        false => format!("this program was built for the CPU alone; {features} builds one for GPUs"),
    }
}

/// The card in this place, or the first that is no software.
fn pick(found: &[GpuInfo], api: Option<GpuApi>, place: Option<usize>) -> Result<&GpuInfo> {
    let cards: Vec<&GpuInfo> = found.iter().filter(|gpu| api.is_none_or(|api| gpu.api == api)).collect();
    let software = cards.iter().position(|gpu| gpu.kind == GpuKind::Software);
    match place {
        _ if cards.is_empty() => bail!("{}; right would be cpu", absent(api)),
        None if software == Some(0) => {
            bail!(
                "found no GPU but the software renderer {}; right would be cpu, or :0 at the end to use it all the same",
                cards[0].name
            )
        }
        Some(place) if place >= cards.len() => {
            let (found, last) = (cards.len(), cards.len() - 1);
            bail!("found {found} of them, numbered from 0; right would be at most {last}")
        }
        _ => Ok(cards[place.unwrap_or(0)]),
    }
}

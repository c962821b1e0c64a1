//! `--device` as it is typed: what networks run on.

use gg_nn::engine::GpuApi;
use std::ffi::OsString;

/// What networks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceName {
    Cpu,
    /// The Nth card that is reached in this way, or in any; without a number the first that is no software.
    Gpu(Option<GpuApi>, Option<usize>),
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Gpu(api, place) = self else { return f.write_str("cpu") };
        f.write_str(api.map_or("gpu", GpuApi::name))?;
        place.map_or(Ok(()), |place| write!(f, ":{place}"))
    }
}

/// Whether the answer to this command line is the list of devices, whatever else it asks for.
pub(crate) fn asks_for_devices(args: &[OsString]) -> bool {
    let end = args.iter().position(|a| a == "--").unwrap_or(args.len());
    let args = &args[..end];
    args.iter().any(|a| a == "--device=list") || args.windows(2).any(|w| w[0] == "--device" && w[1] == "list")
}

pub(super) fn parse_device(text: &str) -> Result<DeviceName, String> {
    let wrong = || {
        "cpu, gpu, cuda, vulkan, metal or dx12, all but cpu also with a number as in gpu:1; or list"
            .to_owned()
    };
    let (name, place) = match text.split_once(':') {
        Some((name, place)) => (name, Some(place.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let api = GpuApi::ALL.into_iter().find(|api| api.name() == name);
    match name {
        "cpu" if place.is_none() => Ok(DeviceName::Cpu),
        "gpu" => Ok(DeviceName::Gpu(None, place)),
        _ if api.is_some() => Ok(DeviceName::Gpu(api, place)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_as_it_is_printed_and_what_is_none_is_refused() {
        for name in ["cpu", "gpu", "gpu:2", "cuda", "cuda:1", "vulkan", "metal", "dx12:0"] {
            assert_eq!(parse_device(name).unwrap().to_string(), name);
        }
        for name in ["", "cpu:0", "gpu:", "gpu:-1", "tpu", "list:1"] {
            assert!(parse_device(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_list_of_devices_is_asked_for_in_any_command_and_not_by_a_file_of_that_name() {
        let asks = |text: &str| asks_for_devices(&text.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asks("groundglass --device list") && asks("groundglass analyze --device=list --json"));
        assert!(
            !asks("groundglass analyze list --device gpu") && !asks("groundglass inspect -- --device list")
        );
    }
}

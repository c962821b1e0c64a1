//! `config`: every setting with its value and meaning, or a check of a settings file.

use super::Context;
use crate::args::{ConfigAction, ConfigArgs};
use crate::settings::{self, Settings};
use anyhow::Result;

pub(super) fn run(context: &Context, args: ConfigArgs) -> Result<()> {
    match args.action {
        ConfigAction::Print(args) => {
            let settings = Settings::resolve(&args.settings)?;
            let text = settings::document(&args.settings)?.to_string();
            context.answer(&settings, || text.trim_end().to_owned())
        }
        ConfigAction::Check(args) => {
            let settings = settings::check_file(&args.file)?;
            settings.remarks().iter().for_each(|remark| context.console.warn(remark));
            context
                .answer(&settings, || format!("{}: all settings are known and possible", args.file.display()))
        }
    }
}

//! `explain`: where the classifier looks in a slice, or how attributes of a cohort move the prediction of an outcome.

mod cohort;
mod outcome;
mod slice;
mod table;

use super::Context;
use crate::args::ExplainArgs;
use anyhow::Result;

pub(super) fn run(context: &Context, args: ExplainArgs) -> Result<()> {
    match (&args.ct, args.slice, &args.table, &args.outcome) {
        (Some(ct), Some(slice), ..) => slice::run(context, &args, ct, slice),
        (_, _, Some(table), Some(outcome)) => cohort::run(context, &args, table, outcome),
        // The command line asks for either before it comes here.
        _ => {
            Err(crate::failure::Usage("a CT with --slice, or --table with --outcome, is needed".into())
                .into())
        }
    }
}

//! What all pages share: the frame, warnings, drawings with captions, and how it was made.

use crate::inputs::{Figure, Provenance, ScoreLine, SliceTally};
use crate::numbers::{counted, decimal, interval, score_decimals};
use crate::picture::{Overlay, SlicePicture, slice_scene};
use crate::scene::Scene;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Said once on every page that shows numbered slices.
pub(crate) const SLICE_NUMBERS: &str = "Slices are counted from 0 at the feet (in stored order where the orientation is unknown), as in every table.";
const USE: &str = "Research use, not a medical device";

/// The whole page; `kind` says what sort of report it is.
pub(crate) fn page(kind: &str, title: &str, lead: &str, provenance: &Provenance, body: Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · groundglass" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        div.kicker { span { "groundglass · " (kind) } span.use { (USE) } }
                        h1 { (title) }
                        @if !lead.is_empty() { p.lead { (lead) } }
                    }
                    (alerts(provenance))
                    (body)
                    (how_it_was_made(provenance))
                    footer {
                        (USE) ". "
                        "Figures are computed by a program and may be wrong; they do not replace a radiologist's reading."
                        @if !provenance.program.is_empty() { br; (provenance.program) }
                    }
                }
            }
        }
    };
    markup.into_string()
}

fn alerts(provenance: &Provenance) -> Markup {
    html! {
        @if provenance.leaking {
            div.box.leak role="alert" {
                b { "Patients leak between training and test" }
                "Slices of the same patient stand on both sides of this split. These figures say nothing about new patients."
            }
        }
        @if !provenance.warnings.is_empty() {
            div.box role="note" {
                b { (counted(provenance.warnings.len(), "warning")) }
                ul { @for warning in &provenance.warnings { li { (warning) } } }
            }
        }
    }
}

fn how_it_was_made(provenance: &Provenance) -> Markup {
    if provenance.facts.is_empty() && provenance.models.is_empty() {
        return html! {};
    }
    html! {
        h2 { "How it was made" }
        dl {
            @for fact in &provenance.facts { dt { (fact.name) } dd { (fact.value) } }
            @for model in &provenance.models {
                dt { "Model: " (model.task) }
                dd {
                    (model.name)
                    @if !model.note.is_empty() { " (" (model.note) ")" }
                    @if !model.sha256.is_empty() { br; code { "sha256 " (model.sha256) } }
                }
            }
        }
    }
}

/// A drawing as part of the page.
pub(crate) fn drawing(scene: &Scene) -> Markup {
    PreEscaped(scene.to_inline_svg())
}

/// Drawings beside each other where there is room.
pub(crate) fn charts(scenes: &[Scene]) -> Markup {
    html! { div.charts { @for scene in scenes { figure { (drawing(scene)) } } } }
}

/// Drawings below each other with heading and caption.
pub(crate) fn figures(figures: &[Figure]) -> Markup {
    html! {
        @for figure in figures {
            h3 { (figure.title) }
            figure.plain {
                (drawing(&figure.scene))
                @if !figure.caption.is_empty() { figcaption { (figure.caption) } }
            }
        }
    }
}

/// Width of a slice in scene units; the page scales it.
const TILE: f64 = 300.0;

/// A slice with its outlines and its caption as text.
pub(crate) fn tile(picture: &SlicePicture) -> Markup {
    html! {
        figure.tile {
            (drawing(&slice_scene(picture, TILE, Overlay::default())))
            @if !picture.caption.is_empty() { figcaption { (picture.caption) } }
        }
    }
}

/// What the outlines' colours mean.
pub(crate) fn colour_key() -> Markup {
    html! { span.note { span.key.lung {} "lung" span.key.infection {} "infection" } }
}

/// Scores with their intervals.
pub(crate) fn score_table(scores: &[ScoreLine]) -> Markup {
    html! {
        @if !scores.is_empty() {
            div.scroll { table.narrow {
                thead { tr { th { "Score" } th { "Value" } th { "95 % interval" } th.text { "Over" } } }
                tbody { @for score in scores {
                    tr {
                        td { (score.name) }
                        td { b { (decimal(score.value, score_decimals(score.value))) } }
                        td { (interval(score.interval, score_decimals(score.value))) }
                        td.text { (score.basis) }
                    }
                } }
            } }
        }
    }
}

/// Slices kept and dropped, as a sentence and a list.
pub(crate) fn tally(tally: &SliceTally) -> Markup {
    let dropped: usize = tally.dropped.iter().map(|d| d.1).sum();
    html! {
        p {
            (counted(tally.kept, "slice")) " kept, " (dropped) " dropped"
            @if dropped > 0 {
                ": "
                @for (i, (reason, n)) in tally.dropped.iter().enumerate() {
                    @if i > 0 { "; " }
                    (n) " " (reason)
                }
            }
            "."
        }
    }
}

//! What callers hand to the reports: plain data, nothing computed, no path, no identifier but `case_id`.

use crate::network::LayerRow;
use crate::picture::SlicePicture;
use crate::scene::Scene;

/// One line of a "how it was made" list: a name and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What is stated, e.g. `Grey values`.
    pub name: String,
    /// Its value in words, e.g. `HU (confidence 0.99)`.
    pub value: String,
}

impl Fact {
    /// A fact from anything that reads as text.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A model bundle that took part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelLine {
    /// What it was used for, e.g. `infection`.
    pub task: String,
    /// The bundle's name.
    pub name: String,
    /// Hash of the bundle's bytes, in hexadecimal; printed in full.
    pub sha256: String,
    /// Anything to say about it, e.g. `provisional`; may be empty.
    pub note: String,
}

/// What every page carries: warnings, the settings it was made with, the models, the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// Whether slices of one patient stand in training and test; shows the leak banner.
    pub leaking: bool,
    /// Sentences for people, most important first; shown at the top.
    pub warnings: Vec<String>,
    /// How it was made.
    pub facts: Vec<Fact>,
    /// The models that took part.
    pub models: Vec<ModelLine>,
    /// Program and version, e.g. `groundglass 0.1.0 (1a2b3c4)`.
    pub program: String,
}

/// Voxel counts and volumes of one region: the whole lung, one side, or one zone.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RegionNumbers {
    /// Voxels of lung.
    pub lung_voxels: u64,
    /// Voxels of infection within it.
    pub infected_voxels: u64,
    /// Volume of lung in millilitres, where spacing is trusted.
    pub lung_ml: Option<f64>,
    /// Volume of infection in millilitres, where spacing is trusted.
    pub infected_ml: Option<f64>,
    /// Infected share of the region, 0..100; none where the region is empty.
    pub percent: Option<f64>,
    /// Severity points of a zone, 0..4; none for regions that carry none.
    pub score: Option<u8>,
}

/// The burden of one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BurdenNumbers {
    /// Both lungs together.
    pub whole: RegionNumbers,
    /// The patient's right lung; none where sides are unknown.
    pub right: Option<RegionNumbers>,
    /// The patient's left lung; none where sides are unknown.
    pub left: Option<RegionNumbers>,
    /// Thirds of each lung's height: right upper, right middle, right lower, left upper, left middle, left lower.
    pub zones: Option<[RegionNumbers; 6]>,
    /// Sum of the zones' points, 0..24.
    pub severity: Option<u8>,
    /// Names the published score and where ours differs; a sentence below the number.
    pub severity_note: String,
    /// The interval around the percentage, where the model can make one.
    pub interval: Option<PercentInterval>,
    /// Why there are no millilitres, as a clause, e.g. `the spacing of this file cannot be trusted`.
    pub ml_reason: Option<String>,
    /// Why there are no sides, and so no zones, as a clause, e.g. `the orientation is unknown`.
    pub sides_reason: Option<String>,
    /// Why there are no zones, as a clause.
    pub zones_reason: Option<String>,
}

/// An interval around a percentage, beside what human readers leave open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PercentInterval {
    /// The percentage.
    pub found: f64,
    /// Lower and upper end.
    pub ends: (f64, f64),
    /// Share of patients whose truth is to lie within, 0..1.
    pub level: f64,
    /// What two readers may differ by, as a range around the percentage.
    pub readers: (f64, f64),
    /// What both ranges mean, in sentences.
    pub notes: Vec<String>,
}

/// Whether a CT shows infection, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PatientCall {
    /// 0..1.
    pub score: f64,
    /// Score from which on it is called so.
    pub threshold: f64,
}

/// One slice in the strip chart along z.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SliceRow {
    /// Slice number, as it is given in `slices.csv`.
    pub z: usize,
    /// Probability that the slice shows infection; none where it was dropped or no classifier ran.
    pub probability: Option<f64>,
    /// Infected share of the lung in this slice, 0..100; none where it shows no lung.
    pub percent: Option<f64>,
}

/// Classification of the slices of one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SliceStrip {
    /// One row per slice in order of z.
    pub rows: Vec<SliceRow>,
    /// Threshold of the classifier, where one ran.
    pub threshold: Option<f64>,
    /// What the first and the last slice are, e.g. `feet` and `head`; none where unknown.
    pub ends: Option<(String, String)>,
}

/// Slices kept, and dropped with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SliceTally {
    /// Number of slices that the networks saw.
    pub kept: usize,
    /// Reason in words and how many slices it took.
    pub dropped: Vec<(String, usize)>,
}

/// Input of [`crate::analysis_report`].
#[derive(Debug, Clone, Default)]
pub struct AnalysisReport {
    /// The user's name for the case, or `case-001`.
    pub case_id: String,
    /// Percentages, volumes, zones, severity.
    pub burden: BurdenNumbers,
    /// Whether a warning puts the numbers in doubt; then the answer begins with that.
    pub in_doubt: bool,
    /// Whether the CT shows infection.
    pub patient: Option<PatientCall>,
    /// Slices along z.
    pub strip: SliceStrip,
    /// Slices kept and dropped.
    pub tally: SliceTally,
    /// Axial slices for the montage, in order of z; [`crate::pick_slices`] helps to choose them.
    pub slices: Vec<SlicePicture>,
    /// Coronal view.
    pub coronal: Option<SlicePicture>,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// One score with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreLine {
    /// Name with unit, e.g. `HD95 (mm)`.
    pub name: String,
    /// The mean, or the score over all slices.
    pub value: Option<f64>,
    /// Lower and upper end of the 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// How many cases, patients or slices it stands on, in words, e.g. `14 patients`; may be empty.
    pub basis: String,
}

/// One case of an evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CaseRow {
    /// The case.
    pub case_id: String,
    /// Its patient.
    pub patient: String,
    /// Values in the order of [`CaseTable::columns`].
    pub values: Vec<Option<f64>>,
}

/// Scores per case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CaseTable {
    /// Names with units, e.g. `Dice`, `HD95 (mm)`.
    pub columns: Vec<String>,
    /// Decimals shown per column; 3 where the list is shorter.
    pub decimals: Vec<usize>,
    /// One row per case.
    pub rows: Vec<CaseRow>,
}

/// Prediction beside truth for one slice of one case.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Which case this is and why it is shown, e.g. `Best · case-003 · Dice 0.912`.
    pub title: String,
    /// The slice with its true labels.
    pub truth: SlicePicture,
    /// The same slice with the predicted labels.
    pub pred: SlicePicture,
}

/// Segmentation part of an evaluation.
#[derive(Debug, Clone, Default)]
pub struct SegmentationSection {
    /// What is segmented, e.g. `Infection`.
    pub name: String,
    /// Scores with intervals.
    pub scores: Vec<ScoreLine>,
    /// Scores per case.
    pub cases: CaseTable,
    /// Dice per patient, for the strip; none where it is undefined (both masks empty).
    pub dice: Vec<(String, Option<f64>)>,
    /// Agreement among human readers on this kind of target, as a band of Dice, with its source in words.
    pub human_band: Option<HumanBand>,
    /// True and predicted percentage of infected lung per case, for the agreement plots.
    pub burden: Vec<BurdenPair>,
    /// Whether the probabilities of voxels mean what they say.
    pub reliability: Reliability,
    /// Prediction beside truth: best, median, worst.
    pub comparisons: Vec<Comparison>,
    /// Sentences on counting, e.g. how many cases were empty on both sides.
    pub notes: Vec<String>,
}

/// A band of Dice that human readers reach among themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanBand {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whose agreement it is, for the legend.
    pub label: String,
}

/// A measured quantity of one case, true and predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurdenPair {
    /// From the truth masks.
    pub truth: f64,
    /// From the predicted masks.
    pub pred: f64,
    /// Lower and upper end of the interval around the predicted one, where there is one.
    pub interval: Option<(f64, f64)>,
}

/// Counts of a two-class confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    /// Positive called positive.
    pub tp: u64,
    /// Negative called positive.
    pub fp: u64,
    /// Positive called negative.
    pub fn_: u64,
    /// Negative called negative.
    pub tn: u64,
}

/// A curve with its area and the point of the chosen threshold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreCurve {
    /// `(false-positive rate, true-positive rate)` or `(recall, precision)`.
    pub points: Vec<(f64, f64)>,
    /// AUROC or average precision.
    pub area: Option<f64>,
    /// Where the chosen threshold lies on the curve.
    pub operating: Option<(f64, f64)>,
}

/// One bin of a reliability curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Mean predicted probability in the bin.
    pub predicted: f64,
    /// Share of positives in the bin.
    pub observed: f64,
    /// Number of cases in the bin.
    pub count: u64,
}

/// Whether probabilities mean what they say, as they are used and as they were before calibration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reliability {
    /// As they are used; empty for none.
    pub after: Vec<ReliabilityBin>,
    /// Before calibration; empty where there was none.
    pub before: Vec<ReliabilityBin>,
    /// Expected calibration error of `after`.
    pub ece: Option<f64>,
    /// Expected calibration error of `before`.
    pub ece_before: Option<f64>,
    /// What is counted, e.g. `slices`.
    pub counted: String,
}

/// Classification part of an evaluation.
#[derive(Debug, Clone, Default)]
pub struct ClassificationSection {
    /// What is classified, e.g. `Slices with infection`.
    pub name: String,
    /// Scores with intervals.
    pub scores: Vec<ScoreLine>,
    /// What is counted, e.g. `slices`; `cases` where empty.
    pub counted: String,
    /// Where calls are made, for headings, e.g. `at 0.418`; may be empty.
    pub called: String,
    /// Counts there.
    pub confusion: Confusion,
    /// Counts at 0.5; none where scores are no probabilities.
    pub confusion_at_half: Option<Confusion>,
    /// ROC curve; empty points where one class only is present.
    pub roc: ScoreCurve,
    /// Precision-recall curve.
    pub pr: ScoreCurve,
    /// Whether the probabilities mean what they say.
    pub reliability: Reliability,
    /// Classified pictures; the caption says truth and probability.
    pub examples: Vec<SlicePicture>,
    /// Sentences on counting, e.g. positives and negatives of each part.
    pub notes: Vec<String>,
}

/// Input of [`crate::evaluation_report`].
#[derive(Debug, Clone, Default)]
pub struct EvaluationReport {
    /// Heading, e.g. `Evaluation on fold 1`.
    pub title: String,
    /// The result in one sentence; may be empty.
    pub summary: String,
    /// Segmentations, e.g. lung and infection.
    pub segmentations: Vec<SegmentationSection>,
    /// Classification of slices.
    pub classifications: Vec<ClassificationSection>,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// One epoch of training; what was not measured is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: usize,
    /// Learning rate at the end of the epoch.
    pub learning_rate: Option<f64>,
    /// Mean loss on training batches.
    pub train_loss: Option<f64>,
    /// Loss on validation data.
    pub val_loss: Option<f64>,
    /// Accuracy on training batches.
    pub train_accuracy: Option<f64>,
    /// Accuracy on validation data.
    pub val_accuracy: Option<f64>,
    /// Dice on training batches.
    pub train_dice: Option<f64>,
    /// Dice on validation data.
    pub val_dice: Option<f64>,
    /// AUROC on validation data.
    pub val_auroc: Option<f64>,
}

/// Input of [`crate::training_report`].
#[derive(Debug, Clone, Default)]
pub struct TrainingReport {
    /// Heading, e.g. `Training: infection`.
    pub title: String,
    /// The result in one sentence; may be empty.
    pub summary: String,
    /// One row per epoch.
    pub epochs: Vec<EpochRow>,
    /// Epoch of the best checkpoint.
    pub best_epoch: Option<usize>,
    /// The network, layer by layer; may be empty.
    pub layers: Vec<LayerRow>,
    /// Further pictures, e.g. predictions beside truth or the drawing of the network.
    pub figures: Vec<Figure>,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// A drawing with a heading and a caption.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Heading, e.g. `Fig. 3 · Contrast before and after CLAHE`.
    pub title: String,
    /// One or two sentences on what to see.
    pub caption: String,
    /// The drawing.
    pub scene: Scene,
}

/// Input of [`crate::prepare_report`].
#[derive(Debug, Clone, Default)]
pub struct PrepareReport {
    /// Heading, e.g. `Preparation of case-001`.
    pub title: String,
    /// The figures in order.
    pub figures: Vec<Figure>,
    /// Slices kept and dropped.
    pub tally: SliceTally,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// One step of the quickstart and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuickstartStep {
    /// e.g. `Train the lung network`.
    pub name: String,
    /// e.g. `held-out Dice 0.981 (needs 0.950)`.
    pub outcome: String,
    /// Whether it met its floor; none for steps without one.
    pub passed: Option<bool>,
    /// Relative link to a page beside this one, e.g. `analysis/report.html`; none for no link.
    pub link: Option<String>,
}

/// Input of [`crate::quickstart_report`].
#[derive(Debug, Clone, Default)]
pub struct QuickstartReport {
    /// The result in one sentence.
    pub summary: String,
    /// The steps in order.
    pub steps: Vec<QuickstartStep>,
    /// Pictures of the way.
    pub figures: Vec<Figure>,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// Input of [`crate::audit_report`].
#[derive(Debug, Clone, Default)]
pub struct AuditReport {
    /// The answer in one sentence.
    pub summary: String,
    /// What was found, one sentence each; what leaks stands in the provenance's warnings.
    pub findings: Vec<String>,
    /// Pictures of the pairs that were found.
    pub figures: Vec<Figure>,
    /// Warnings and how it was made.
    pub provenance: Provenance,
}

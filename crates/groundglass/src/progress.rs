//! What the user sees while work goes on: one bar with the time left, or plain lines where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How often a plain line is printed where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// Where remarks and progress go. All of it is on stderr: stdout is for answers.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    quiet: bool,
    terminal: bool,
    /// What was said by `warn_once`, to any copy of this console.
    said: Arc<Mutex<BTreeSet<String>>>,
}

impl Console {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), said: Arc::default() }
    }

    /// One line for the user, unless quiet.
    #[allow(clippy::print_stderr)] // this is the console
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }

    /// An error that does not end the work; it appears even where all else is quiet.
    #[allow(clippy::print_stderr)] // this is the console
    pub(crate) fn error(&self, line: impl AsRef<str>) {
        eprintln!("error: {}", line.as_ref());
    }

    /// A remark about the input or the result.
    pub(crate) fn warn(&self, message: impl AsRef<str>) {
        self.say(format!("warning: {}", message.as_ref()));
    }

    /// A remark that is not repeated where a later step of the same command comes upon it again.
    pub(crate) fn warn_once(&self, message: &str) {
        let new = self.said.lock().is_ok_and(|mut said| said.insert(message.to_owned()));
        if new {
            self.warn(message);
        }
    }

    /// A step of `total` equal parts.
    pub(crate) fn step(&self, name: &str, total: u64) -> Step {
        self.step_before(name, total, 0.0)
    }

    /// A step after which more of the same kind is to come, `later` times as much as this one: its time is told too.
    pub(crate) fn step_before(&self, name: &str, total: u64, later: f64) -> Step {
        let first = Arc::new(OnceLock::new());
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if self.quiet || !self.terminal {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:>22} {wide_bar:.cyan/dim} {pos}/{len}  {elapsed} + {left} left  {msg}",
        ) {
            let first = first.clone();
            bar.set_style(style.with_key(
                "left",
                move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let left =
                        time_left(state.elapsed(), &first, state.pos(), state.len().unwrap_or(0), later);
                    let _ = write!(w, "{left}");
                },
            ));
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Step {
            bar,
            name: name.to_owned(),
            console: self.clone(),
            first,
            later,
            plain: Arc::new(Mutex::new(Instant::now())),
        }
    }
}

/// One running step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    bar: ProgressBar,
    name: String,
    console: Console,
    /// Parts that were there before this step began, as in a training that is resumed.
    first: Arc<OnceLock<u64>>,
    /// Work that comes after this step, as a multiple of it.
    later: f64,
    plain: Arc<Mutex<Instant>>,
}

impl Step {
    /// `done` parts are finished.
    pub(crate) fn set(&self, done: u64) {
        self.first.get_or_init(|| done.saturating_sub(1));
        self.bar.set_position(done);
        self.plain_line();
    }

    /// `done` of `total` parts are finished, where only the work itself tells how many there are.
    pub(crate) fn set_of(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.set(done as u64);
    }

    /// One more part is finished.
    pub(crate) fn inc(&self) {
        self.first.get_or_init(|| self.bar.position());
        self.bar.inc(1);
        self.plain_line();
    }

    /// A few words behind the bar, such as the current loss.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// One line above the bar.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        self.bar.suspend(|| self.console.say(line));
    }

    /// One error above the bar.
    pub(crate) fn error(&self, line: impl AsRef<str>) {
        self.bar.suspend(|| self.console.error(line));
    }

    /// Takes the bar away and leaves one line with the time it took.
    pub(crate) fn finish(&self) {
        let took = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        self.console.say(format!("{:>22}  done in {took:.1} s", self.name));
    }

    fn plain_line(&self) {
        if self.console.terminal || self.console.quiet {
            return;
        }
        let Ok(mut last) = self.plain.try_lock() else { return };
        if last.elapsed() >= PLAIN_EVERY {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let left = time_left(self.bar.elapsed(), &self.first, done, total, self.later);
            self.console.say(format!(
                "{:>22}  {done}/{total}, {left} left  {}",
                self.name,
                self.bar.message()
            ));
        }
    }
}

/// The time left if the rest goes as fast as what was done since the start, in words; with that of all that is to come
/// later.
fn time_left(elapsed: Duration, first: &OnceLock<u64>, done: u64, total: u64, later: f64) -> String {
    let since = done.saturating_sub(first.get().copied().unwrap_or(0));
    if since == 0 {
        return "?".to_owned();
    }
    let each = elapsed.as_secs_f64() / since as f64;
    let left = each * total.saturating_sub(done) as f64;
    let all = left + later * each * total as f64;
    match later {
        _ if left > LONGEST_SECS || all > LONGEST_SECS => "?".to_owned(),
        0.0 => duration(left),
        _ => format!("{} ({} over all runs)", duration(left), duration(all)),
    }
}

/// More than that is no estimate.
const LONGEST_SECS: f64 = 9999.0 * 3600.0;

/// Seconds in words.
pub(crate) fn duration(secs: f64) -> String {
    let secs = secs.round() as u64;
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_steps_done_here() {
        let check = |elapsed, first, done, total, expected: &str| {
            let begun = OnceLock::new();
            begun.get_or_init(|| first);
            assert_eq!(time_left(Duration::from_secs(elapsed), &begun, done, total, 0.0), expected);
        };
        check(10, 0, 0, 100, "?");
        check(10, 0, 10, 100, "1 min 30 s");
        check(10, 90, 95, 100, "10 s"); // resumed at 90
        check(3600, 0, 1, 4, "3 h 00 min");
        let begun = OnceLock::from(0);
        let told = time_left(Duration::from_secs(10), &begun, 10, 100, 2.0);
        assert_eq!(told, "1 min 30 s (4 min 50 s over all runs)");
    }

    #[test]
    fn no_count_makes_the_time_left_absurd() {
        let counts = [0, 1, 7, 100, u64::MAX];
        for (elapsed, first) in [0.0, 1e-9, 3.0, 1e6].into_iter().flat_map(|e| counts.map(|f| (e, f))) {
            for (done, total) in counts.into_iter().flat_map(|d| counts.map(|t| (d, t))) {
                let begun = OnceLock::from(first);
                let left = time_left(Duration::from_secs_f64(elapsed), &begun, done, total, 0.0);
                let number = |word: &str| word.parse::<u64>().unwrap_or(0);
                assert!(left.split(' ').all(|w| number(w) <= 9999), "{left} for {done}/{total} from {first}");
            }
        }
    }
}

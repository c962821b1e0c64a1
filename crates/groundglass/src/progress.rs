//! What the user sees while work goes on: one bar with the time left, or plain lines where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a plain line is printed where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// Where remarks and progress go. All of it is on stderr: stdout is for answers.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    quiet: bool,
    terminal: bool,
}

impl Console {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal() }
    }

    /// One line for the user, unless quiet.
    #[allow(clippy::print_stderr)] // this is the console
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }

    /// A remark about the input or the result.
    pub(crate) fn warn(&self, message: impl AsRef<str>) {
        self.say(format!("warning: {}", message.as_ref()));
    }

    /// A step of `total` equal parts.
    pub(crate) fn step(&self, name: &str, total: u64) -> Step {
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if self.quiet || !self.terminal {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:>22} {wide_bar:.cyan/dim} {pos}/{len}  {elapsed} + {eta} left  {msg}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Step {
            bar,
            name: name.to_owned(),
            console: self.clone(),
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
    plain: Arc<Mutex<Instant>>,
}

impl Step {
    /// `done` parts are finished.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
        self.plain_line();
    }

    /// One more part is finished.
    pub(crate) fn inc(&self) {
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
            let eta = self.bar.eta().as_secs();
            self.console.say(format!(
                "{:>22}  {done}/{total}, {eta} s left  {}",
                self.name,
                self.bar.message()
            ));
        }
    }
}

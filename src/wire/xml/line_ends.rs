//! Line ends of text that arrives in runs (XML 1.0, section 2.11): `\r\n` and `\r` become `\n`.

/// The state between runs.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// The offset at which a line feed belongs to the carriage return before it.
    after_return: Option<u64>,
}

impl LineEnds {
    /// Passes a run on to `out`. `at` is the run's offset in the body; `None`: the run is the character of a reference, which
    /// stands for itself.
    pub fn push(&mut self, run: &[u8], at: Option<u64>, mut out: impl FnMut(&[u8])) {
        let mut at = at;
        for byte in run {
            let is_joined = *byte == b'\n' && at.is_some() && at == self.after_return;
            let is_return = *byte == b'\r' && at.is_some();
            at = at.map(|at| at.saturating_add(1));
            self.after_return = if is_return { at } else { None };
            if is_return {
                out(b"\n");
            } else if !is_joined {
                out(&[*byte]);
            }
        }
    }
}

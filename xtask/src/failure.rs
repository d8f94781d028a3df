//! Errors that say what to do: a message, its causes, and the command to try by hand.

/// An error with what the user can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Prints an error to stderr: the error, one cause a line, and its hints last.
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    // A failure that was added as context is found by the error itself, one that caused it by the chain.
    let context = error.downcast_ref::<Failure>();
    let causes = error
        .chain()
        .skip(1)
        .filter_map(|cause| cause.downcast_ref::<Failure>());
    for failure in context.into_iter().chain(causes) {
        eprintln!("hint: {}", failure.hint);
    }
}

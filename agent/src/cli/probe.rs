//! One thing that `signpost check` looks at, and how it stands.

use serde::Serialize;
use serde_json::Value;

use super::output::{bold, harmless};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Nothing to do.
    Ok,
    /// Not looked at; the detail says why.
    Skipped,
    /// Works, but not for ever, or not for everybody.
    Warning,
    /// Keeps the device from doing its work.
    Failed,
}

impl Verdict {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Ok, "ok"),
        (Self::Skipped, "skipped"),
        (Self::Warning, "warning"),
        (Self::Failed, "failed"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(verdict, _)| *verdict == self).map_or("", |(_, name)| name)
    }
}

/// One named probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) result: Verdict,
    /// What was found.
    pub(super) detail: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Probe {
    pub(super) fn new(name: &str, result: Verdict, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), result, detail: detail.into(), advice: None }
    }

    #[must_use]
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// What the agent says of `name`.
    pub(super) fn of_agent(found: &Value) -> Option<Self> {
        let text = |key: &str| found[key].as_str();
        let result = text("result")?;
        let (result, _) = Verdict::ALL.into_iter().find(|(_, name)| *name == result)?;
        let advice = text("advice").map(str::to_owned);
        Some(Self { advice, ..Self::new(text("name")?, result, text("detail")?) })
    }

    /// One line, and another with what to do.
    pub(super) fn for_people(&self) -> String {
        let verdict = format!("{:<8}", self.result.name());
        let verdict = if self.result == Verdict::Failed { bold(&verdict) } else { verdict };
        let advice = self.advice.as_ref().map(|text| format!("{:<26}{}\n", "", harmless(text)));
        let advice = advice.unwrap_or_default();
        format!("{verdict} {:<16} {}\n{advice}", self.name, harmless(&self.detail))
    }
}

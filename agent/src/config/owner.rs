//! `[owner]`: whose the device may become.

use config::{Value, ValueKind};
use signpost_core::owner::{Demand, OwnerRule};

use super::issuer::Tenant;
use super::reading::{Reading, Setting, found, quoted, section, segment, text};
use super::value::Text;

section! {
    /// `[owner]`.
    pub struct Owner {
        /// Who may sign in.
        allow: OwnerRule = OwnerRule::First,
    }
}

section! {
    /// A rule as written; every condition must hold.
    struct Conditions {
        tenant: Option<Tenant>,
        domain: Option<Text>,
        subject: Option<Text>,
        claim: Vec<(Text, Text)>,
    }
}

const ALLOWED: &str = "\"first\" | \"any\" | a table with tenant, domain, subject or claim";

impl Setting for OwnerRule {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        if let ValueKind::Table(_) = node.kind {
            let before = at.count();
            return match Conditions::read(node, at)?.demands() {
                _ if at.count() > before => None,
                // It would let everybody in.
                none if none.is_empty() => {
                    at.refuse(node, "no condition", ALLOWED, "say \"any\" if that is meant")
                }
                demands => Some(Self::Only(demands)),
            };
        }
        match text(node) {
            Some("first") => Some(Self::First),
            Some("any") => Some(Self::Any),
            _ => at.refuse(node, &found(node, false), ALLOWED, ""),
        }
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        let demands = match self {
            Self::First => return out.push((key.to_owned(), quoted("first"))),
            Self::Any => return out.push((key.to_owned(), quoted("any"))),
            Self::Only(demands) => demands,
        };
        out.extend(demands.iter().map(|demand| match demand {
            Demand::Tenant(tenant) => (format!("{key}.tenant"), quoted(tenant)),
            Demand::Domain(domain) => (format!("{key}.domain"), quoted(domain)),
            Demand::Subject(subject) => (format!("{key}.subject"), quoted(subject)),
            Demand::Claim(name, value) => (format!("{key}.claim.{}", segment(name)), quoted(value)),
        }));
    }

    #[cfg(test)]
    fn keys(path: &str, out: &mut Vec<String>) {
        out.push(path.to_owned());
        Conditions::keys(path, out);
    }
}

impl Conditions {
    fn demands(self) -> Vec<Demand> {
        let own = |text: Text| text.as_str().to_owned();
        let tenant = self.tenant.map(|tenant| Demand::Tenant(tenant.as_str().to_owned()));
        let domain = self.domain.map(|domain| Demand::Domain(own(domain)));
        let subject = self.subject.map(|subject| Demand::Subject(own(subject)));
        let claims =
            self.claim.into_iter().map(|(name, value)| Demand::Claim(own(name), own(value)));
        tenant.into_iter().chain(domain).chain(subject).chain(claims).collect()
    }
}

//! To whom the device belongs, and who may become its owner.

use crate::wire::IdClaims;
use alloc::{string::String, vec::Vec};
use sha2::{Digest, Sha256};

/// Whom a record or a grant belongs to: issuer and subject as one opaque name.
///
/// Without a subject it is drawn at random for the grant; [`OwnerId::DEVICE`] stands for the
/// device itself, before anyone signed in (design invariant 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerId(pub [u8; 16]);

impl OwnerId {
    /// Nobody has signed in: the device itself.
    pub const DEVICE: Self = Self([0; 16]);

    /// The owner that `issuer` calls `subject`.
    #[must_use]
    pub fn of_subject(issuer: &str, subject: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(issuer.len()).unwrap_or_default().to_be_bytes());
        hash.update(issuer);
        hash.update(subject);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }

    /// An owner of whom nothing is known but that they hold one grant.
    pub fn of_grant(rng: &mut fastrand::Rng) -> Self {
        Self((rng.u128(..) | 1).to_be_bytes())
    }
}

/// The person who signed in, as far as the issuer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose records are whose.
    pub id: OwnerId,
    /// `sub`, absent where the issuer gives no id_token.
    pub subject: Option<String>,
    /// What to call the person on a panel.
    pub name: Option<String>,
}

/// Who may own the device (`[owner] allow`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// Whoever signs in first, until sign-out or reset.
    First,
    /// Anyone; the last one to sign in owns it.
    Any,
    /// Only accounts whose id_token meets every demand.
    Only(Vec<Demand>),
}

/// One thing that an id_token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// `tid` (Entra) or `org_id` (Auth0).
    Tenant(String),
    /// The domain of a verified e-mail address, or `hd` (Google).
    Domain(String),
    /// `sub`.
    Subject(String),
    /// Any claim: its name, and the value that it is or lists.
    Claim(String, String),
}

impl OwnerRule {
    /// Whether the person with `account` and `claims` may own a device that belongs to `current`.
    ///
    /// Fails closed: where rule and claims leave it open, the answer is no.
    #[must_use]
    pub fn admits(
        &self,
        account: &Account,
        claims: Option<&IdClaims>,
        current: Option<&Account>,
    ) -> bool {
        match self {
            Self::Any => true,
            Self::First => {
                current.is_none_or(|current| current.subject.is_some() && current.id == account.id)
            }
            Self::Only(demands) => {
                claims.is_some_and(|claims| demands.iter().all(|demand| demand.met_by(claims)))
            }
        }
    }
}

impl Demand {
    fn met_by(&self, claims: &IdClaims) -> bool {
        match self {
            Self::Tenant(tenant) => claims.holds("tid", tenant) || claims.holds("org_id", tenant),
            Self::Domain(domain) => {
                let of_mail = claims.text("email").and_then(|mail| mail.rsplit_once('@'));
                let verified = claims.holds("email_verified", "true");
                claims.holds("hd", domain)
                    || verified && of_mail.is_some_and(|(_, d)| d.eq_ignore_ascii_case(domain))
            }
            Self::Subject(subject) => claims.subject() == subject,
            Self::Claim(name, value) => claims.holds(name, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secret::Secret, time::Wall};
    use alloc::{format, vec};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    fn claims(rest: &str) -> IdClaims {
        let json = format!(r#"{{"aud":"c","sub":"anna","exp":99{rest}}}"#);
        let token = Secret::new(format!("e30.{}.s", URL_SAFE_NO_PAD.encode(json)));
        IdClaims::read(&token, None, "c", Wall::default()).expect("claims")
    }

    fn account(subject: Option<&str>, id: u8) -> Account {
        Account { id: OwnerId([id; 16]), subject: subject.map(Into::into), name: None }
    }

    #[test]
    fn invariant_11_first_means_first_until_sign_out() {
        let (anna, ben) = (account(Some("anna"), 1), account(Some("ben"), 2));
        assert!(OwnerRule::First.admits(&anna, None, None));
        assert!(OwnerRule::First.admits(&anna, None, Some(&anna)));
        assert!(!OwnerRule::First.admits(&ben, None, Some(&anna)));
        let nameless = account(None, 3);
        assert!(!OwnerRule::First.admits(&nameless, None, Some(&anna)));
        assert!(!OwnerRule::First.admits(&nameless, None, Some(&nameless)), "cannot be told");
        assert!(OwnerRule::Any.admits(&ben, None, Some(&anna)));
    }

    #[test]
    fn invariant_11_demands_are_met_by_claims_alone() {
        let anna = account(Some("anna"), 1);
        let admits = |demand: Demand, rest: &str| {
            OwnerRule::Only(vec![demand]).admits(&anna, Some(&claims(rest)), None)
        };
        let domain = || Demand::Domain("acme.example".into());
        assert!(admits(domain(), r#","email":"a@Acme.example","email_verified":true"#));
        assert!(!admits(domain(), r#","email":"a@acme.example""#), "not verified");
        assert!(!admits(domain(), r#","email":"a@evil-acme.example","email_verified":true"#));
        assert!(admits(domain(), r#","hd":"acme.example""#));
        assert!(admits(Demand::Tenant("t1".into()), r#","tid":"t1""#));
        assert!(admits(Demand::Subject("anna".into()), ""));
        assert!(admits(Demand::Claim("groups".into(), "ops".into()), r#","groups":["ops"]"#));
        assert!(!OwnerRule::Only(vec![Demand::Subject("anna".into())]).admits(&anna, None, None));
    }

    #[test]
    fn owners_of_two_issuers_differ() {
        assert_ne!(OwnerId::of_subject("a", "bc"), OwnerId::of_subject("ab", "c"));
    }
}

//! `[broker.allow.*]`: which local program may have which token.

use std::fs;
use std::path::PathBuf;

use signpost_core::session::{By, TokenKey};

use crate::config::{Broker, Name, Peer as Who, Rule as RuleConfig};
use crate::shell::sockets::Peer;

/// Longest file of users or groups that is read.
const MOST_BYTES: u64 = 4 << 20;

/// The rules with names turned into numbers, in the order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    user: Option<u32>,
    group: Option<u32>,
    scopes: Vec<String>,
    resources: Vec<String>,
    audiences: Vec<String>,
    file: Option<PathBuf>,
}

/// Why a program does not get what it asks for, in OAuth's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A scope beyond the rule.
    Scope,
    /// A resource beyond the rule, or none where one has to be named.
    Resource,
}

impl Rules {
    /// The rules of `broker`. Users and groups are looked up in `/etc/passwd` and `/etc/group` now;
    /// a name that is not there lets nobody in.
    pub(crate) fn of(broker: &Broker) -> Self {
        Self(broker.allow.iter().filter_map(|(_, rule)| Rule::of(rule, number)).collect())
    }

    /// The names of rules that let nobody in.
    pub(crate) fn of_strangers(broker: &Broker) -> impl Iterator<Item = &Name> {
        let strangers = broker.allow.iter().filter(|(_, rule)| Rule::of(rule, number).is_none());
        strangers.map(|(name, _)| name)
    }

    /// Where rules want their tokens written: the file, its group, and which token.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, Option<u32>, TokenKey)> + use<'_> {
        self.0.iter().filter_map(|rule| {
            // The configuration has seen to it that one token is meant.
            let key = rule.narrow(&TokenKey::default()).ok()?;
            Some((rule.file.clone()?, rule.group, key))
        })
    }

    /// Whether any rule speaks of `peer`.
    pub(crate) fn admit(&self, peer: &Peer) -> bool {
        self.0.iter().any(|rule| rule.speaks_of(peer))
    }

    /// The token that `peer` gets who asks for `wanted`: no more than the first rule allows that
    /// allows it.
    ///
    /// # Errors
    /// What no rule for `peer` allows.
    pub(crate) fn narrow(&self, peer: &Peer, wanted: &TokenKey) -> Result<TokenKey, Denied> {
        let mut denied = Denied::Scope;
        for rule in self.0.iter().filter(|rule| rule.speaks_of(peer)) {
            match rule.narrow(wanted) {
                Ok(key) => return Ok(key),
                Err(why) => denied = why,
            }
        }
        Err(denied)
    }
}

impl Rule {
    fn of(config: &RuleConfig, number: impl Fn(&'static str, &str) -> Option<u32>) -> Option<Self> {
        let (user, group) = match &config.peer {
            Who::Uid(uid) => (Some(uid.get()), None),
            Who::User(name) => (Some(number("/etc/passwd", name.as_str())?), None),
            Who::Group(name) => (None, Some(number("/etc/group", name.as_str())?)),
        };
        Some(Self {
            user,
            group,
            scopes: config.scopes.iter().map(ToString::to_string).collect(),
            resources: config.resources.iter().map(ToString::to_string).collect(),
            audiences: config.audiences.iter().map(ToString::to_string).collect(),
            file: config.file.as_ref().map(|file| file.as_path().to_owned()),
        })
    }

    fn speaks_of(&self, peer: &Peer) -> bool {
        self.user == Some(peer.user) || self.group.is_some_and(|group| peer.groups.contains(&group))
    }

    fn narrow(&self, wanted: &TokenKey) -> Result<TokenKey, Denied> {
        match &wanted.by {
            By::SignIn if self.scopes.is_empty() && self.resources.is_empty() => {
                return Err(Denied::Scope);
            }
            By::SignIn => {}
            By::Exchange(audience) => return self.narrow_exchange(audience, wanted),
            By::OwnName => return Err(Denied::Resource),
        }
        let resource = match (&wanted.resource, self.resources.as_slice()) {
            (None, []) => None,
            (None, [only]) => Some(only.clone()),
            (Some(resource), allowed) if allowed.contains(resource) => Some(resource.clone()),
            (Some(_) | None, _) => return Err(Denied::Resource),
        };
        let is_allowed = |scope| self.scopes.is_empty() || self.scopes.contains(scope);
        if !wanted.scopes.iter().all(is_allowed) {
            return Err(Denied::Scope);
        }
        let scopes = if wanted.scopes.is_empty() { &self.scopes } else { &wanted.scopes };
        Ok(TokenKey::new(resource, scopes))
    }

    /// Only what is listed: an exchanged token may reach further than the sign-in's own.
    fn narrow_exchange(&self, audience: &str, wanted: &TokenKey) -> Result<TokenKey, Denied> {
        let is_listed = |list: &[String], word: &str| list.iter().any(|it| it == word);
        let resource = wanted.resource.as_deref();
        if !is_listed(&self.audiences, audience)
            || resource.is_some_and(|resource| !is_listed(&self.resources, resource))
        {
            return Err(Denied::Resource);
        }
        let is_allowed = |scope: &String| self.scopes.is_empty() || self.scopes.contains(scope);
        if !wanted.scopes.iter().all(is_allowed) {
            return Err(Denied::Scope);
        }
        let scopes = if wanted.scopes.is_empty() { &self.scopes } else { &wanted.scopes };
        let key = TokenKey::new(wanted.resource.clone(), scopes);
        Ok(key.exchanged(audience.to_owned()))
    }
}

/// The third field of the line of `name` in a file such as passwd(5) or group(5).
pub(crate) fn number(file: &str, name: &str) -> Option<u32> {
    let length = fs::metadata(file).ok()?.len();
    let text = (length <= MOST_BYTES).then(|| fs::read_to_string(file).ok()).flatten()?;
    number_in(&text, name)
}

fn number_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let rule = |user, group, scopes: &[&str], resources: &[&str]| Rule {
            user,
            group,
            scopes: words(scopes),
            resources: words(resources),
            audiences: Vec::new(),
            file: None,
        };
        let exchanges = Rule {
            audiences: words(&["https://down.example"]),
            ..rule(Some(1002), None, &[], &[])
        };
        let narrow = Rule {
            audiences: words(&["https://down.example"]),
            ..rule(Some(1003), None, &["read"], &[])
        };
        Rules(vec![
            rule(None, Some(50), &["telemetry.write"], &[]),
            rule(Some(1000), None, &["read", "write"], &["https://a.example", "https://b.example"]),
            rule(Some(1001), None, &[], &["https://a.example"]),
            exchanges,
            narrow,
        ])
    }

    fn peer(user: u32, groups: &[u32]) -> Peer {
        Peer { user, groups: groups.to_vec() }
    }

    fn key(resource: Option<&str>, scopes: &[&str]) -> TokenKey {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        TokenKey::new(resource.map(str::to_owned), &scopes)
    }

    #[test]
    fn nobody_comes_in_without_a_rule() {
        assert!(rules().admit(&peer(7, &[1, 50])));
        assert!(rules().admit(&peer(1000, &[])));
        assert!(!rules().admit(&peer(7, &[1000])), "a number is a user or a group, not both");
        assert!(!rules().admit(&peer(50, &[])));
    }

    #[test]
    fn nobody_gets_more_than_their_rule_and_who_asks_for_nothing_gets_all_of_it() {
        let narrow = |user, groups: &[u32], wanted| rules().narrow(&peer(user, groups), &wanted);
        let collector = narrow(7, &[50], key(None, &[]));
        assert_eq!(collector, Ok(key(None, &["telemetry.write"])));
        assert_eq!(narrow(7, &[50], key(None, &["read"])), Err(Denied::Scope));
        let a = Some("https://a.example");
        assert_eq!(narrow(7, &[50], key(a, &[])), Err(Denied::Resource));
        assert_eq!(narrow(1000, &[], key(a, &["read"])), Ok(key(a, &["read"])));
        assert_eq!(narrow(1000, &[], key(a, &[])), Ok(key(a, &["read", "write"])));
        assert_eq!(narrow(1000, &[], key(None, &[])), Err(Denied::Resource), "which of both?");
        assert_eq!(narrow(1001, &[], key(None, &["any"])), Ok(key(a, &["any"])), "the only one");
        let other = Some("https://c.example");
        assert_eq!(narrow(1001, &[], key(other, &[])), Err(Denied::Resource));
        assert_eq!(narrow(7, &[], key(None, &[])), Err(Denied::Scope));
    }

    #[test]
    fn only_audiences_that_a_rule_lists_are_exchanged_for_and_such_a_rule_gives_no_other_token() {
        let narrow = |user, wanted: TokenKey| rules().narrow(&peer(user, &[]), &wanted);
        let to = |audience: &str, scopes: &[&str]| key(None, scopes).exchanged(audience.into());
        let down = "https://down.example";
        assert_eq!(narrow(1002, to(down, &[])), Ok(to(down, &[])));
        assert_eq!(narrow(1002, to("https://other.example", &[])), Err(Denied::Resource));
        assert_eq!(narrow(1002, key(None, &[])), Err(Denied::Scope), "nor the sign-in's own");
        assert_eq!(narrow(1003, to(down, &[])), Ok(to(down, &["read"])), "no more than the rule");
        assert_eq!(narrow(1003, to(down, &["write"])), Err(Denied::Scope));
        assert_eq!(narrow(1000, to(down, &["read"])), Err(Denied::Resource), "none is listed");
        let beside = key(Some("https://a.example"), &[]).exchanged(down.into());
        assert_eq!(narrow(1002, beside), Err(Denied::Resource));
        assert_eq!(narrow(1000, TokenKey::own_name()), Err(Denied::Resource));
    }

    #[test]
    fn whom_two_rules_speak_of_has_what_either_allows() {
        let both = peer(1000, &[50]);
        let collector = key(None, &["telemetry.write"]);
        assert_eq!(rules().narrow(&both, &collector), Ok(collector));
        let a = key(Some("https://a.example"), &["read"]);
        assert_eq!(rules().narrow(&both, &a), Ok(a));
    }

    #[test]
    fn names_are_those_of_passwd_and_group() {
        let text = "root:x:0:0:root:/root:/bin/sh\nnobody:*:65534:65534::/:\nbad:x:many:\n+::::\n";
        assert_eq!(number_in(text, "nobody"), Some(65_534));
        assert_eq!(number_in(text, "bad"), None);
        assert_eq!(number_in(text, "nobod"), None);
        assert_eq!(number_in("telemetry:x:50:a,b\n", "telemetry"), Some(50));
        assert_eq!(number("/etc/passwd", "root"), Some(0));
    }
}

//! What the agent keeps on flash, as bytes: lists of (tag, length, postcard value), so that an
//! older build carries what it does not know (flash.md, promise 8).
//!
//! A tag's value never changes its type. In the session's record, tags 10 to 29 and 100 to 199
//! belong to the grant: they go with it, known to a build or not.

use serde::{Deserialize, Serialize, Serializer};
use signpost_core::{
    issuer::IssuedBy,
    jws::DeviceKey,
    otlp::Signal,
    owner::{Account, OwnerId},
    secret::Secret,
    session::{Credential, Grant, Revocation, SessionRecord, Suspension},
    time::{Boot, ClockOffset, Wall},
    wire::{Key, KeySet, Metadata, MtlsAliases, PublicKey},
};
use signpost_store::fields::{FieldError, Fields};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroize;

/// When a record arrived, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which run of the board (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: [u8; 16],
    /// When in it.
    pub boot: Boot,
    /// The date, where the wall clock was usable.
    pub wall: Option<Wall>,
    /// How far the wall clock was ahead of the boot clock as long as nobody had set it; absent where
    /// that is no longer, or never was.
    pub unset: Option<ClockOffset>,
}

impl Arrival {
    /// By no clock at all.
    pub(crate) const UNKNOWN: Self =
        Self { boot_id: [0; 16], boot: Boot::new(Duration::ZERO), wall: None, unset: None };

    /// How long ago that was at `now`, in elapsed time: absent where nothing tells, as after a run
    /// of the board whose clock was never set.
    #[must_use]
    pub fn age(&self, now: Self) -> Option<Duration> {
        if self.boot_id == now.boot_id {
            return Some(now.boot.since(self.boot));
        }
        let (then, now) = (self.wall?.since_epoch(), now.wall?.since_epoch());
        Some(now.saturating_sub(then))
    }

    /// What the wall clock said, right or not.
    pub(crate) fn said(&self) -> Option<Wall> {
        self.wall.or_else(|| self.unset.map(|offset| offset.date(self.boot)))
    }
}

/// One accepted export request as it waits in the spool.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it holds.
    pub signal: Signal,
    /// When it came.
    pub arrival: Arrival,
    /// The `Export…ServiceRequest`.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({:?}, {} bytes)", self.signal, self.body.len())
    }
}

/// The key that seals an owner's queues, and a random name for this life of them: sequence
/// numbers begin anew when a queue was destroyed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnerKey {
    pub(crate) owner: [u8; 16],
    pub(crate) key: [u8; 32],
    pub(crate) epoch: u64,
}

impl Drop for OwnerKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// What an envelope adds to its body at most, in bytes.
pub(crate) const ENVELOPE: usize = 80;

mod envelope {
    pub(super) const SIGNAL: u16 = 1;
    pub(super) const BOOT_ID: u16 = 2;
    pub(super) const BOOT: u16 = 3;
    pub(super) const WALL: u16 = 4;
    pub(super) const BODY: u16 = 5;
    pub(super) const UNSET: u16 = 6;
}

mod session {
    pub(super) const SEEN: u16 = 1;
    pub(super) const REVOCATIONS: u16 = 2;
    pub(super) const FORGETTING: u16 = 3;
    pub(super) const WIPING: u16 = 4;
    pub(super) const REVOCATIONS_BY: u16 = 5;
    pub(super) const OWNER: u16 = 10;
    pub(super) const SUBJECT: u16 = 11;
    pub(super) const NAME: u16 = 12;
    pub(super) const REFRESH_TOKEN: u16 = 13;
    pub(super) const LASTING_TOKEN: u16 = 14;
    pub(super) const PREVIOUS: u16 = 15;
    pub(super) const SCOPES: u16 = 16;
    pub(super) const SIGNED_IN_AT: u16 = 17;
    pub(super) const EXPIRES_AT: u16 = 18;
    pub(super) const ROTATES: u16 = 19;
    pub(super) const INTENT: u16 = 20;
    pub(super) const SUSPENDED: u16 = 21;
    pub(super) const SUSPENDED_SINCE: u16 = 22;
    pub(super) const LIFETIME: u16 = 23;
    pub(super) const DEVICE_KEY: u16 = 24;
    pub(super) const BOUND: u16 = 25;
    pub(super) const ISSUED_BY: u16 = 26;

    pub(super) const fn is_of_grant(tag: u16) -> bool {
        matches!(tag, 10..=29 | 100..=199)
    }
}

mod metadata {
    pub(super) const ISSUER: u16 = 1;
    pub(super) const DEVICE_AUTHORIZATION: u16 = 2;
    pub(super) const TOKEN: u16 = 3;
    pub(super) const REVOCATION: u16 = 4;
    pub(super) const JWKS: u16 = 5;
    pub(super) const MTLS_DEVICE_AUTHORIZATION: u16 = 6;
    pub(super) const MTLS_TOKEN: u16 = 7;
    pub(super) const MTLS_REVOCATION: u16 = 8;
}

mod key_set {
    pub(super) const URI: u16 = 1;
    pub(super) const KEYS: u16 = 2;
}

/// Bytes as postcard writes them, at once instead of one by one.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Envelope {
    pub(crate) const fn new(signal: Signal, arrival: Arrival, body: Vec<u8>) -> Self {
        Self { signal, arrival, body }
    }

    pub(crate) fn to_fields(&self) -> Result<Fields, FieldError> {
        let signal = match self.signal {
            Signal::Logs => 0_u8,
            Signal::Metrics => 1,
            Signal::Traces => 2,
        };
        let mut fields = Fields::new()
            .with(envelope::SIGNAL, &signal)?
            .with(envelope::BOOT_ID, &self.arrival.boot_id)?
            .with(envelope::BOOT, &millis(self.arrival.boot.since_boot()))?
            .with(envelope::BODY, &Bytes(&self.body))?;
        if let Some(wall) = self.arrival.wall {
            fields.set(envelope::WALL, &millis(wall.since_epoch()))?;
        }
        if let Some(unset) = self.arrival.unset {
            fields.set(envelope::UNSET, &unset.as_millis())?;
        }
        Ok(fields)
    }

    pub(crate) fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        let signal = match fields.get::<u8>(envelope::SIGNAL)? {
            Some(0) => Signal::Logs,
            Some(1) => Signal::Metrics,
            Some(2) => Signal::Traces,
            Some(_) | None => return Err(missing(envelope::SIGNAL)),
        };
        let boot_id = fields.get(envelope::BOOT_ID)?.unwrap_or_default();
        let boot = fields.get(envelope::BOOT)?.map(Duration::from_millis).unwrap_or_default();
        let wall = fields.get(envelope::WALL)?.map(|ms| Wall::new(Duration::from_millis(ms)));
        let unset = fields.get(envelope::UNSET)?.map(ClockOffset::from_millis);
        let body = fields.get_bytes(envelope::BODY)?.ok_or(missing(envelope::BODY))?.to_vec();
        let arrival = Arrival { boot_id, boot: Boot::new(boot), wall, unset };
        Ok(Self::new(signal, arrival, body))
    }
}

/// Puts `record` into `fields`, which may hold what another build wrote.
pub(crate) fn set_session(fields: &mut Fields, record: &SessionRecord) -> Result<(), FieldError> {
    set_date(fields, session::SEEN, record.seen)?;
    let revocations: Vec<(&str, Option<&str>, u8)> = record
        .revocations
        .iter()
        .map(|r| (r.token.expose(), r.endpoint.as_deref(), r.tries))
        .collect();
    fields.set(session::REVOCATIONS, &revocations)?;
    // By token, not by place: a build that does not know these may change the list beside them.
    let issued_by: Vec<(&str, Option<&str>, &str)> = record
        .revocations
        .iter()
        .filter_map(|r| Some((r.token.expose(), r.issued_by.as_ref()?)))
        .map(|(token, by)| (token, by.url.as_deref(), by.origin.as_str()))
        .collect();
    set_or_remove(fields, session::REVOCATIONS_BY, Some(issued_by).filter(|by| !by.is_empty()))?;
    let forgetting: Vec<[u8; 16]> = record.forgetting.iter().map(|owner| owner.0).collect();
    fields.set(session::FORGETTING, &forgetting)?;
    set_or_remove(fields, session::WIPING, record.wiping.then_some(true))?;
    let owner = record.grant.as_ref().map(|grant| grant.account.id.0);
    if owner.is_none() || fields.get(session::OWNER)? != owner {
        let of_grant: Vec<u16> = fields.tags().filter(|tag| session::is_of_grant(*tag)).collect();
        of_grant.into_iter().for_each(|tag| fields.remove(tag));
    }
    // Of the grant, so that a build that does not know it ends it with the grant.
    let key = record.device_key.as_ref().map(|DeviceKey(key)| key.expose());
    set_or_remove(fields, session::DEVICE_KEY, key)?;
    record.grant.as_ref().map_or(Ok(()), |grant| set_grant(fields, grant))
}

fn set_grant(fields: &mut Fields, grant: &Grant) -> Result<(), FieldError> {
    let (refresh, lasting) = match &grant.credential {
        Credential::Refresh(token) => (Some(token), None),
        Credential::Lasting(token) => (None, Some(token)),
    };
    fields.set(session::OWNER, &grant.account.id.0)?;
    set_or_remove(fields, session::SUBJECT, grant.account.subject.as_deref())?;
    set_or_remove(fields, session::NAME, grant.account.name.as_deref())?;
    set_or_remove(fields, session::REFRESH_TOKEN, refresh.map(Secret::expose))?;
    set_or_remove(fields, session::LASTING_TOKEN, lasting.map(Secret::expose))?;
    set_or_remove(fields, session::BOUND, grant.bound.then_some(true))?;
    set_or_remove(fields, session::PREVIOUS, grant.previous.as_ref().map(Secret::expose))?;
    fields.set(session::SCOPES, &grant.scopes)?;
    set_date(fields, session::SIGNED_IN_AT, grant.signed_in_at)?;
    set_date(fields, session::EXPIRES_AT, grant.expires_at)?;
    set_or_remove(fields, session::LIFETIME, grant.lifetime.map(|span| span.as_secs()))?;
    set_or_remove(fields, session::ROTATES, grant.rotates)?;
    fields.set(session::INTENT, &grant.intent)?;
    let issued_by = grant.issued_by.as_ref().map(|by| (by.url.as_deref(), by.origin.as_str()));
    set_or_remove(fields, session::ISSUED_BY, issued_by)?;
    let suspension = grant.suspension;
    set_or_remove(fields, session::SUSPENDED, suspension.map(|s| (s.after_loss, s.tries)))?;
    set_date(fields, session::SUSPENDED_SINCE, suspension.and_then(|s| s.since))
}

pub(crate) fn session_of(fields: &Fields) -> Result<SessionRecord, FieldError> {
    let revocations: Vec<(String, Option<String>, u8)> =
        fields.get(session::REVOCATIONS)?.unwrap_or_default();
    let issued_by: Vec<(String, Option<String>, String)> =
        fields.get(session::REVOCATIONS_BY)?.unwrap_or_default();
    let revocations = revocations.into_iter().map(|(token, endpoint, tries)| Revocation {
        issued_by: issued_by.iter().find(|(of, ..)| *of == token).map(|(_, url, origin)| {
            Arc::new(IssuedBy { url: url.clone(), origin: origin.clone() })
        }),
        token: Secret::new(token),
        endpoint,
        tries,
    });
    let forgetting: Vec<[u8; 16]> = fields.get(session::FORGETTING)?.unwrap_or_default();
    Ok(SessionRecord {
        grant: grant_of(fields)?,
        revocations: revocations.collect(),
        forgetting: forgetting.into_iter().map(OwnerId).collect(),
        wiping: fields.get(session::WIPING)?.unwrap_or_default(),
        device_key: fields.get::<String>(session::DEVICE_KEY)?.map(Secret::new).map(DeviceKey),
        seen: date(fields, session::SEEN)?,
    })
}

fn grant_of(fields: &Fields) -> Result<Option<Grant>, FieldError> {
    let Some(id) = fields.get(session::OWNER)? else { return Ok(None) };
    let secret = |tag| fields.get::<String>(tag).map(|text| text.map(Secret::new));
    let credential = match (secret(session::REFRESH_TOKEN)?, secret(session::LASTING_TOKEN)?) {
        (Some(token), _) => Credential::Refresh(token),
        (None, Some(token)) => Credential::Lasting(token),
        (None, None) => return Err(missing(session::REFRESH_TOKEN)),
    };
    let since = date(fields, session::SUSPENDED_SINCE)?;
    let suspended = fields.get::<(bool, u8)>(session::SUSPENDED)?;
    Ok(Some(Grant {
        account: Account {
            id: OwnerId(id),
            subject: fields.get(session::SUBJECT)?,
            name: fields.get(session::NAME)?,
        },
        credential,
        bound: fields.get(session::BOUND)?.unwrap_or_default(),
        previous: secret(session::PREVIOUS)?,
        scopes: fields.get(session::SCOPES)?.unwrap_or_default(),
        signed_in_at: date(fields, session::SIGNED_IN_AT)?,
        expires_at: date(fields, session::EXPIRES_AT)?,
        lifetime: fields.get(session::LIFETIME)?.map(Duration::from_secs),
        rotates: fields.get(session::ROTATES)?,
        intent: fields.get(session::INTENT)?.unwrap_or_default(),
        issued_by: fields
            .get(session::ISSUED_BY)?
            .map(|(url, origin)| Arc::new(IssuedBy { url, origin })),
        suspension: suspended.map(|(after_loss, tries)| Suspension { since, after_loss, tries }),
    }))
}

pub(crate) fn set_metadata(fields: &mut Fields, metadata: &Metadata) -> Result<(), FieldError> {
    let endpoint = metadata.device_authorization_endpoint.as_deref();
    fields.set(metadata::ISSUER, &metadata.issuer)?;
    set_or_remove(fields, metadata::DEVICE_AUTHORIZATION, endpoint)?;
    fields.set(metadata::TOKEN, &metadata.token_endpoint)?;
    set_or_remove(fields, metadata::REVOCATION, metadata.revocation_endpoint.as_deref())?;
    set_or_remove(fields, metadata::JWKS, metadata.jwks_uri.as_deref())?;
    let MtlsAliases { device_authorization, token, revocation } = &metadata.mtls_aliases;
    let mut alias = |tag, url: &Option<String>| set_or_remove(fields, tag, url.as_deref());
    alias(metadata::MTLS_DEVICE_AUTHORIZATION, device_authorization)?;
    alias(metadata::MTLS_TOKEN, token)?;
    alias(metadata::MTLS_REVOCATION, revocation)
}

pub(crate) fn metadata_of(fields: &Fields) -> Result<Metadata, FieldError> {
    Ok(Metadata {
        issuer: fields.get(metadata::ISSUER)?.ok_or(missing(metadata::ISSUER))?,
        device_authorization_endpoint: fields.get(metadata::DEVICE_AUTHORIZATION)?,
        token_endpoint: fields.get(metadata::TOKEN)?.ok_or(missing(metadata::TOKEN))?,
        revocation_endpoint: fields.get(metadata::REVOCATION)?,
        jwks_uri: fields.get(metadata::JWKS)?,
        mtls_aliases: MtlsAliases {
            device_authorization: fields.get(metadata::MTLS_DEVICE_AUTHORIZATION)?,
            token: fields.get(metadata::MTLS_TOKEN)?,
            revocation: fields.get(metadata::MTLS_REVOCATION)?,
        },
    })
}

/// A key as it is kept: its name, its kind, and one or two strings of bytes.
type KeptKey = (Option<String>, u8, Vec<u8>, Vec<u8>);

pub(crate) fn set_keys(fields: &mut Fields, set: &KeySet) -> Result<(), FieldError> {
    let keys: Vec<KeptKey> = set
        .keys
        .iter()
        .map(|key| {
            let (kind, first, second) = match &key.public {
                PublicKey::Rsa { n, e } => (0, n.clone(), e.clone()),
                PublicKey::P256(point) => (1, point.clone(), Vec::new()),
                PublicKey::P384(point) => (2, point.clone(), Vec::new()),
                PublicKey::Ed25519(point) => (3, point.clone(), Vec::new()),
            };
            (key.id.clone(), kind, first, second)
        })
        .collect();
    fields.set(key_set::URI, &set.uri)?;
    fields.set(key_set::KEYS, &keys)
}

pub(crate) fn keys_of(fields: &Fields) -> Result<KeySet, FieldError> {
    let keys: Vec<KeptKey> = fields.get(key_set::KEYS)?.unwrap_or_default();
    let keys = keys.into_iter().filter_map(|(id, kind, first, second)| {
        let public = match kind {
            0 => PublicKey::Rsa { n: first, e: second },
            1 => PublicKey::P256(first),
            2 => PublicKey::P384(first),
            3 => PublicKey::Ed25519(first),
            // Of a kind that a newer build knows.
            _ => return None,
        };
        Some(Key { id, public })
    });
    let uri = fields.get(key_set::URI)?.ok_or(missing(key_set::URI))?;
    Ok(KeySet { uri, keys: keys.collect() })
}

fn set_or_remove<T: Serialize>(
    fields: &mut Fields,
    tag: u16,
    value: Option<T>,
) -> Result<(), FieldError> {
    match value {
        Some(value) => fields.set(tag, &value),
        None => {
            fields.remove(tag);
            Ok(())
        }
    }
}

fn set_date(fields: &mut Fields, tag: u16, date: Option<Wall>) -> Result<(), FieldError> {
    set_or_remove(fields, tag, date.map(|date| date.since_epoch().as_secs()))
}

fn date(fields: &Fields, tag: u16) -> Result<Option<Wall>, FieldError> {
    Ok(fields.get(tag)?.map(|seconds| Wall::new(Duration::from_secs(seconds))))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

const fn missing(tag: u16) -> FieldError {
    FieldError { tag: Some(tag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued_by() -> IssuedBy {
        let origin = "https://idp.example".to_owned();
        IssuedBy { url: Some(origin.clone()), origin }
    }

    fn grant() -> Grant {
        Grant {
            account: Account {
                id: OwnerId([7; 16]),
                subject: Some("anna".into()),
                name: Some("Anna".into()),
            },
            credential: Credential::Refresh(Secret::new("rt-2")),
            bound: false,
            previous: Some(Secret::new("rt-1")),
            scopes: vec!["openid".into()],
            signed_in_at: Some(Wall::new(Duration::from_secs(1_800_000_000))),
            expires_at: None,
            lifetime: Some(Duration::from_secs(86_400)),
            rotates: Some(true),
            intent: true,
            suspension: Some(Suspension { since: None, after_loss: true, tries: 3 }),
            issued_by: Some(Arc::new(issued_by())),
        }
    }

    fn record() -> SessionRecord {
        SessionRecord {
            grant: Some(grant()),
            revocations: vec![
                Revocation { token: Secret::new("old"), endpoint: None, tries: 2, issued_by: None },
                Revocation {
                    token: Secret::new("older"),
                    endpoint: None,
                    tries: 0,
                    issued_by: Some(Arc::new(IssuedBy { url: None, ..issued_by() })),
                },
            ],
            forgetting: vec![OwnerId([9; 16])],
            wiping: true,
            device_key: Some(DeviceKey(Secret::new("key"))),
            seen: Some(Wall::new(Duration::from_secs(1_800_000_001))),
        }
    }

    fn reread(fields: &Fields) -> Fields {
        Fields::parse(&fields.to_bytes()).expect("parses")
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let mut fields = Fields::new();
        set_session(&mut fields, &record()).expect("sets");
        assert_eq!(session_of(&reread(&fields)), Ok(record()));
        let mut lasting = grant();
        lasting.credential = Credential::Lasting(Secret::new("at"));
        lasting.bound = true;
        lasting.suspension = None;
        let lasting = SessionRecord { grant: Some(lasting), ..record() };
        set_session(&mut fields, &lasting).expect("sets");
        assert_eq!(session_of(&reread(&fields)), Ok(lasting));
        set_session(&mut fields, &SessionRecord::default()).expect("sets");
        assert_eq!(session_of(&reread(&fields)), Ok(SessionRecord::default()));
    }

    #[test]
    fn what_a_newer_build_wrote_is_carried_and_goes_with_its_grant() {
        let mut fields = Fields::new();
        set_session(&mut fields, &record()).expect("sets");
        fields.set(150, "of the grant").expect("sets");
        fields.set(300, "of the device").expect("sets");
        let mut fields = reread(&fields);
        set_session(&mut fields, &record()).expect("sets");
        assert_eq!(fields.get::<String>(150), Ok(Some("of the grant".into())));
        set_session(&mut fields, &SessionRecord::default()).expect("sets");
        assert_eq!(fields.get::<String>(150), Ok(None), "the next user must not inherit it");
        assert_eq!(fields.get::<String>(300), Ok(Some("of the device".into())));
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let key = |id: Option<&str>, public| Key { id: id.map(Into::into), public };
        let set = KeySet {
            uri: "https://idp.example/keys".into(),
            keys: vec![
                key(Some("a"), PublicKey::Rsa { n: vec![1; 256], e: vec![1, 0, 1] }),
                key(Some("b"), PublicKey::P256(vec![4; 65])),
                key(None, PublicKey::P384(vec![4; 97])),
                key(Some("d"), PublicKey::Ed25519(vec![9; 32])),
            ],
        };
        let mut fields = Fields::new();
        set_keys(&mut fields, &set).expect("sets");
        assert_eq!(keys_of(&reread(&fields)), Ok(set));
        assert!(keys_of(&Fields::new()).is_err());
    }

    #[test]
    fn an_envelope_comes_back_as_it_was() {
        let arrival = Arrival {
            boot_id: [3; 16],
            boot: Boot::new(Duration::from_millis(12_345)),
            wall: Some(Wall::new(Duration::from_millis(1_800_000_000_123))),
            unset: None,
        };
        let unset = Some(ClockOffset::from_millis(-7));
        for (wall, unset) in [(arrival.wall, None), (None, unset), (None, None)] {
            let arrival = Arrival { wall, unset, ..arrival };
            let sent = Envelope { signal: Signal::Traces, arrival, body: vec![0, 255, 7] };
            let fields = reread(&sent.to_fields().expect("sets"));
            assert_eq!(Envelope::from_fields(&fields), Ok(sent));
        }
        let ever = Duration::from_secs(u64::MAX / 1_000);
        let unset = Some(ClockOffset::from_millis(i64::MIN));
        let arrival =
            Arrival { boot: Boot::new(ever), wall: Some(Wall::new(ever)), unset, ..arrival };
        let large = Envelope { signal: Signal::Logs, arrival, body: vec![0; 4 << 20] };
        assert!(large.to_fields().expect("sets").to_bytes().len() <= (4 << 20) + ENVELOPE);
        assert!(Envelope::from_fields(&Fields::new()).is_err());
    }
}

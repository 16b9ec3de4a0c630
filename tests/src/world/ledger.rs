//! The judge's book of records: whose each is, and what became of it (design.md, invariants 4
//! and 8).

use super::{
    backend::{Arrived, Sender},
    issuer::Person,
    judge::Verdicts,
};
use signpost_core::{
    delivery::{DropReason, Dropped, Stream, Unowned},
    otlp::Signal,
    owner::OwnerId,
};
use std::{collections::BTreeMap, time::Duration};

/// To whom a record can belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Nobody was signed in.
    Device,
    /// Whoever the issuer named.
    Person(Person),
    /// Whoever approved this sign-in; the issuer named nobody.
    Family(usize),
}

#[derive(Debug)]
struct Record {
    /// More than one only while a sign-in or sign-out was under way.
    owners: Vec<Owner>,
    signal: Signal,
    acknowledged: bool,
    delivered: bool,
    refused: bool,
    removed: Option<Duration>,
    forgotten: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    first: u32,
    records: Vec<Record>,
    names: BTreeMap<OwnerId, Owner>,
    unowned: Unowned,
    issuer_names_people: bool,
    /// The newest record of a queue that arrived.
    newest: BTreeMap<(Owner, bool), u32>,
    /// What the batch under way holds.
    batch: Vec<u32>,
    reported: u64,
    refused: u64,
    /// Records that made room for newer ones, or were too old, as storage says.
    given_up: u64,
    /// Reports may have gone with an owner's key.
    is_key_lost: bool,
}

/// How the book stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Records that arrived.
    pub delivered: u64,
    /// Records that the backend refused for good.
    pub refused: u64,
    /// Records that the device reported as given up.
    pub reported: u64,
    /// Records that went with their owner's key.
    pub forgotten: u64,
    /// Acknowledged records that wait still for an owner who is not there.
    pub waiting: u64,
    /// Acknowledged records that are gone, and were reported.
    pub given_up: u64,
}

impl Ledger {
    pub(super) fn new(first: u32, unowned: Unowned, issuer_names_people: bool) -> Self {
        Self {
            first,
            records: Vec::new(),
            names: BTreeMap::from([(OwnerId::DEVICE, Owner::Device)]),
            unowned,
            issuer_names_people,
            newest: BTreeMap::new(),
            batch: Vec::new(),
            reported: 0,
            refused: 0,
            given_up: 0,
            is_key_lost: false,
        }
    }

    /// The device calls `owner` by this id.
    pub(super) fn name(&mut self, id: OwnerId, owner: Owner) {
        self.names.insert(id, owner);
    }

    /// A program hands a record over; it becomes the property of one of `owners`.
    pub(super) fn offer(&mut self, owners: Vec<Owner>, signal: Signal) -> u32 {
        self.records.push(Record {
            owners,
            signal,
            acknowledged: false,
            delivered: false,
            refused: false,
            removed: None,
            forgotten: None,
        });
        self.first + u32::try_from(self.records.len()).expect("few records") - 1
    }

    pub(super) fn acknowledge(&mut self, name: u32) {
        if let Some(record) = self.find(name) {
            record.acknowledged = true;
        }
    }

    /// The device puts records into a queue of `owner`.
    pub(super) fn appended(&mut self, owner: OwnerId, names: &[u32], verdicts: &mut Verdicts) {
        let owner = self.names.get(&owner).copied();
        for name in names {
            let Some(record) = self.find(*name) else { continue };
            match owner.filter(|owner| record.owners.contains(owner)) {
                Some(owner) => record.owners = vec![owner],
                None => {
                    let owners = &record.owners;
                    let what = format!("record {name} of {owners:?} queued for {owner:?}");
                    verdicts.broken(8, what);
                }
            }
        }
    }

    /// A batch leaves the device.
    pub(super) fn sent(&mut self, names: Vec<u32>) {
        self.batch = names;
    }

    /// A request that left at `sent` arrived at the backend.
    pub(super) fn arrived(&mut self, arrived: &Arrived, sent: Duration, verdicts: &mut Verdicts) {
        if let Some(objection) = &arrived.objection {
            verdicts.broken(4, objection.clone());
        }
        for name in &arrived.refused {
            self.refuse(*name);
        }
        if let Some(sender) = arrived.sender {
            for name in &arrived.records {
                self.check_sender(*name, sender, verdicts);
            }
        }
        if arrived.taken {
            self.reported += arrived.reported;
            for name in arrived.records.iter().filter(|name| !arrived.refused.contains(name)) {
                self.take(*name, sent, verdicts);
            }
        }
    }

    fn refuse(&mut self, name: u32) {
        let Some(record) = self.find(name) else { return };
        if !std::mem::replace(&mut record.refused, true) {
            self.refused += 1;
        }
    }

    fn check_sender(&mut self, name: u32, sender: Sender, verdicts: &mut Verdicts) {
        let (named, unowned) = (self.issuer_names_people, self.unowned);
        let Some(record) = self.find(name) else {
            verdicts.broken(4, format!("record {name} arrived, which nobody sent"));
            return;
        };
        let may_send = |owner: &Owner| match (owner, sender) {
            (Owner::Device, Sender::Device) => unowned == Unowned::InOwnName,
            (Owner::Device, Sender::Person(..)) => unowned == Unowned::WithFirst,
            (Owner::Person(person), Sender::Person(sender, _)) => named && *person == sender,
            (Owner::Family(family), Sender::Person(_, sender)) => *family == sender,
            (Owner::Person(_) | Owner::Family(_), Sender::Device) => false,
        };
        if !record.owners.iter().any(may_send) {
            let owners = &record.owners;
            let what = format!("record {name} of {owners:?} sent with a token of {sender:?}");
            verdicts.broken(8, what);
        }
    }

    fn take(&mut self, name: u32, sent: Duration, verdicts: &mut Verdicts) {
        let Some(record) = self.find(name) else { return };
        if record.removed.is_some_and(|removed| removed < sent) {
            verdicts.broken(3, format!("record {name} came back after its removal"));
        }
        if record.forgotten.is_some_and(|forgotten| forgotten < sent) {
            verdicts.broken(8, format!("record {name} was sent after its owner's sign-out"));
        }
        let first_time = !std::mem::replace(&mut record.delivered, true);
        let queue = match record.owners.as_slice() {
            [owner] => Some((*owner, stream(record.signal) == Stream::Metrics)),
            _ => None,
        };
        let Some(queue) = queue.filter(|_| first_time) else { return };
        let newest = self.newest.entry(queue).or_insert(name);
        if *newest > name {
            verdicts.broken(4, format!("record {name} arrived after {newest} of the same queue"));
        }
        *newest = name.max(*newest);
    }

    /// The removal of the batch under way is durable.
    pub(super) fn removed(&mut self, at: Duration, verdicts: &mut Verdicts) {
        for name in std::mem::take(&mut self.batch) {
            let Some(record) = self.find(name) else { continue };
            record.removed = Some(at);
            if !record.delivered && !record.refused {
                verdicts.broken(4, format!("record {name} was removed and had not arrived"));
            }
        }
    }

    /// Storage says that it gave this up.
    pub(super) fn given_up(&mut self, dropped: &[Dropped]) {
        let by_rule = |dropped: &&Dropped| {
            matches!(dropped.reason, DropReason::OverQuota | DropReason::TooOld)
        };
        self.given_up += dropped.iter().filter(by_rule).map(|dropped| dropped.records).sum::<u64>();
    }

    /// The key of `owner` is destroyed.
    pub(super) fn forgotten(&mut self, owner: OwnerId, at: Duration) {
        let Some(owner) = self.names.get(&owner).copied() else { return };
        self.is_key_lost = true;
        for record in &mut self.records {
            if record.owners.contains(&owner) && !record.delivered {
                record.forgotten.get_or_insert(at);
            }
        }
    }

    /// Everything that waited is gone.
    pub(super) fn wiped(&mut self, at: Duration) {
        self.is_key_lost = true;
        for record in self.records.iter_mut().filter(|record| record.acknowledged) {
            if !record.delivered {
                record.forgotten.get_or_insert(at);
            }
        }
    }

    /// Holds the whole book against what must be when `current` is signed in and nothing waits
    /// that could be sent.
    pub(super) fn close(&self, current: Owner, verdicts: &mut Verdicts) -> Balance {
        let mut lost = Vec::new();
        let mut balance =
            Balance { refused: self.refused, reported: self.reported, ..Balance::default() };
        for (index, record) in self.records.iter().enumerate() {
            let mine = |owner: &Owner| {
                *owner == current || *owner == Owner::Device && self.sends_unowned()
            };
            balance.acknowledged += u64::from(record.acknowledged);
            balance.delivered += u64::from(record.delivered);
            if !record.acknowledged || record.delivered || record.refused {
                continue;
            }
            if record.forgotten.is_some() {
                balance.forgotten += 1;
            } else if record.owners.iter().any(mine) {
                lost.push((u64::from(self.first) + index as u64, &record.owners));
            } else {
                balance.waiting += 1;
            }
        }
        // A cut may have come between the removal and storage's word of it.
        let reported = self.reported.saturating_sub(self.refused);
        balance.given_up = lost.len() as u64;
        if balance.given_up > self.given_up.max(reported) {
            for (name, owners) in lost {
                let what = format!("record {name} of {owners:?} was acknowledged and is lost");
                verdicts.broken(4, what);
            }
        }
        if self.reported < self.refused && !self.is_key_lost && balance.waiting == 0 {
            let what = format!("{} refused, {} reported", self.refused, self.reported);
            verdicts.broken(4, what);
        }
        balance
    }

    /// Whether records of nobody go out.
    pub(super) fn sends_unowned(&self) -> bool {
        self.unowned != Unowned::Wait
    }

    fn find(&mut self, name: u32) -> Option<&mut Record> {
        let index = usize::try_from(name.checked_sub(self.first)?).ok()?;
        self.records.get_mut(index)
    }
}

/// In which stream records of `signal` wait.
const fn stream(signal: Signal) -> Stream {
    match signal {
        Signal::Metrics => Stream::Metrics,
        Signal::Logs | Signal::Traces => Stream::Logs,
    }
}

//! What binds a token store to its device, over upgrades and on other devices.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use signpost_hal::flash::sim::SimFlash;
use signpost_store::{OpenError, Opened, OuterKeys, TokenStore};
use support::{Chance, nor};

struct Board(SimFlash, Chance);

impl Board {
    fn new() -> Self {
        Self(SimFlash::new(nor(1024, 4, 8), 1), Chance(1))
    }

    /// Opens the store and reads what was kept at first.
    fn open(&mut self, keys: OuterKeys) -> Result<Opened, OpenError> {
        let (mut store, opened) = TokenStore::open(&mut self.0, &keys, self.1.entropy())?;
        if opened.fresh {
            store.put(1, b"kept").unwrap();
        }
        assert_eq!(store.get(1).unwrap().unwrap().as_slice(), b"kept");
        Ok(opened)
    }
}

fn key() -> OuterKeys {
    OuterKeys::new([7; 32])
}

#[test]
fn a_store_bound_to_nothing_is_bound_from_then_on() {
    let mut board = Board::new();
    board.open(key()).unwrap();
    assert_eq!(board.open(key().bound_to(b"a")), Err(OpenError::Foreign), "unless asked for");
    let opened = board.open(key().bound_to(b"a").or_unbound()).unwrap();
    assert_eq!((opened.rewrapped, opened.binding), (true, 0));
    let opened = board.open(key().bound_to(b"a").or_unbound()).unwrap();
    assert_eq!((opened.rewrapped, opened.binding), (false, 0), "once");
    assert_eq!(board.open(key()), Err(OpenError::Foreign));
    assert_eq!(board.open(key().bound_to(b"b").or_unbound()), Err(OpenError::Foreign));
}

#[test]
fn a_store_stays_bound_to_what_it_was_bound_to() {
    let mut board = Board::new();
    board.open(key().bound_to(b"b")).unwrap();
    // A source that counts more turned up: it may as well be gone at the next start.
    let both = || key().bound_to(b"a").or_bound_to(b"c").or_bound_to(b"b").or_unbound();
    let opened = board.open(both()).unwrap();
    assert_eq!((opened.rewrapped, opened.binding), (false, 2));
    // Not even a new outer key changes that.
    let keys = OuterKeys::new([8; 32]).or([7; 32]).bound_to(b"a").or_bound_to(b"b");
    assert!(board.open(keys).unwrap().rewrapped);
    let keys = OuterKeys::new([8; 32]).bound_to(b"b");
    assert_eq!(board.open(keys).unwrap().binding, 0);
    assert_eq!(board.open(OuterKeys::new([8; 32]).bound_to(b"a")), Err(OpenError::Foreign));
}

#[test]
fn a_power_cut_while_it_is_bound_loses_nothing() {
    let mut unbound = Board::new();
    unbound.open(key()).unwrap();
    for steps in (0..4000).step_by(7) {
        let mut board = Board(unbound.0.clone(), Chance(steps));
        let tear = board.1.tear();
        board.0.cut_after(steps, tear);
        // Whether it opened or not, what it then read is checked.
        let keys = key().bound_to(b"a").or_unbound();
        let _ = TokenStore::open(&mut board.0, &keys, board.1.entropy());
        board.0.power_off();
        board.0.power_on();
        board.open(keys).unwrap();
        board.open(key().bound_to(b"a")).unwrap();
    }
}

//! Records that builds of different age share.

use serde::{Deserialize, Serialize};
use signpost_store::fields::{FieldError, Fields};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Pair(u32, String);

#[test]
fn fields_come_back_by_tag() {
    let fields = Fields::new().with(1, "token").unwrap().with(700, &Pair(9, "x".into())).unwrap();
    let fields = Fields::parse(&fields.to_bytes()).unwrap();
    assert_eq!(fields.get::<String>(1), Ok(Some("token".into())));
    assert_eq!(fields.get(700), Ok(Some(Pair(9, "x".into()))));
    assert_eq!(fields.get::<u8>(2), Ok(None));
    assert_eq!(format!("{fields:?}"), "{1, 700}");
}

#[test]
fn an_older_build_carries_unknown_fields_through() {
    let newer = Fields::new().with(1, &1u8).unwrap().with(99, "from the future").unwrap();
    let mut older = Fields::parse(&newer.to_bytes()).unwrap();
    older.set(1, &2u8).unwrap();
    older.set(3, &true).unwrap();
    let newer = Fields::parse(&older.to_bytes()).unwrap();
    assert_eq!(newer.get::<String>(99), Ok(Some("from the future".into())));
    assert_eq!(newer.get::<u8>(1), Ok(Some(2)));
}

#[test]
fn a_value_of_another_type_is_an_error_not_a_guess() {
    let fields = Fields::new().with(1, &(1u8, 2u8)).unwrap();
    assert_eq!(fields.get::<u8>(1), Err(FieldError { tag: Some(1) }));
    assert_eq!(fields.get::<(u8, u8, u8)>(1), Err(FieldError { tag: Some(1) }));
}

#[test]
fn malformed_lists_are_refused() {
    for bytes in [&[1][..], &[1, 5, 0], &[0x80], &[0xFF; 12], &[1, 0, 1, 0], &[0x80, 0x80, 4, 0]] {
        assert!(Fields::parse(bytes).is_err(), "{bytes:?}");
    }
    assert!(Fields::parse(&[]).unwrap().tags().next().is_none());
}

//! Whether a TPM binds the systemd credential that seals the stores.
//!
//! `systemd-creds encrypt` writes base64, and the first 16 bytes name the kind of key: the
//! `CRED_AES256_GCM_BY_…` of systemd's `src/shared/creds-util.h`. Only root may look.

use std::io::{self, Read as _};
use std::{fs, path::Path};

/// Where systemd looks for encrypted credentials without a path (systemd.exec(5)).
const STORES: [&str; 3] =
    ["/etc/credstore.encrypted", "/run/credstore.encrypted", "/usr/lib/credstore.encrypted"];

/// The beginnings of files whose key lies on the disk beside them, or nowhere.
const WITHOUT: [&str; 3] = ["Whxqht+dQJax1aZeCGLx", "VbntHThZTUOoMZ0uuzMq", "BYRp2vb1QySABUnaD46i"];

/// The beginnings of those that take a TPM to open, alone or with the host's key.
const WITH: [&str; 6] = [
    "DHzAexF2RZGcSwvqCLwg",
    "+vfrk0HjQSyhpDb5Wik2",
    "k6iUCUh0RJCQyvL8k8q1",
    "70rBNnmpSA6n22iJf58W",
    "r0lQqEkTTrGnOEYwT/MM",
    "rbxMo++2QgG6iBtvLkCV",
];

/// What is known of the credential called `name`, for people.
pub(super) fn level(name: &str) -> &'static str {
    level_in(&STORES.map(Path::new), name)
}

fn level_in(stores: &[&Path], name: &str) -> &'static str {
    for store in stores {
        let mut begins = String::new();
        let file = fs::File::open(store.join(name));
        match file.and_then(|file| file.take(20).read_to_string(&mut begins)) {
            Ok(_) if WITHOUT.contains(&begins.as_str()) => {
                return "no TPM binds that credential: a copy of the disk opens it";
            }
            Ok(_) if WITH.contains(&begins.as_str()) => return "a TPM binds that credential",
            Ok(_) => return "whether a TPM binds that credential is not known",
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return "root is told here whether a TPM binds that credential",
        }
    }
    "that credential is not in /etc/credstore.encrypted: whether a TPM binds it is not known"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_kind_of_key_is_told_by_how_the_file_begins() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        fs::create_dir(&second).unwrap();
        let of = |text: &str| {
            let mut file = fs::File::create(second.join("signpost.key")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            level_in(&[&first, &second], "signpost.key")
        };
        assert!(of("k6iUCUh0RJCQyvL8k8q1UwAAAAA=").starts_with("a TPM binds"));
        assert!(of("Whxqht+dQJax1aZeCGLxmiAAAAA=").starts_with("no TPM"));
        assert!(of("something newer than this").ends_with("not known"));
        assert!(level_in(&[&first], "signpost.key").contains("is not in"));
    }
}

//! Files that cannot be read, or are strange, or huge, or hostile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use signpost::config::{self, Sources};

use crate::{LEAST, Root};

#[test]
fn secrets_are_read_by_key_and_never_shown() {
    use signpost_core::issuer::ClientAuth;
    let root = Root::new();
    let secret = root.write("secret", "hunter2\n");
    let text = format!(
        "{LEAST}client_secret_file = \"{}\"\nextra = {{ login_hint = \"hunter2\" }}\n\
         [network]\nproxy = \"http://user:hunter2@proxy.example:3128\"\n\
         [telemetry]\nheaders = {{ x-key = \"hunter2\" }}\nheader_files = {{ x-file = \"{}\" }}\n",
        secret.display(),
        secret.display()
    );
    root.write("etc/signpost/signpost.toml", text);
    let loaded = root.load().unwrap();
    let ClientAuth::SecretBasic(read) = loaded.issuer().unwrap().client_auth else { panic!() };
    assert_eq!(read.expose(), "hunter2");
    let headers = loaded.telemetry_headers().unwrap();
    assert_eq!(headers.iter().map(|(_, value)| value.expose()).collect::<Vec<_>>(), ["hunter2"; 2]);
    let seen = format!(
        "{}{loaded:?}{headers:?}{:?}",
        config::show(&loaded),
        loaded.issuer().unwrap().client_auth
    );
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(seen.contains("network.proxy = \"http://(hidden)@proxy.example:3128\""), "{seen}");

    let key = "/etc/signpost/signpost.toml:4: issuer.client_secret_file: ";
    let error = |root: &Root| root.strip(root.load().unwrap().issuer().unwrap_err());
    root.write("secret", "two\nlines\n");
    assert!(error(&root).starts_with(&format!("{key}/secret holds no secret")), "{}", error(&root));
    root.write("secret", "\n");
    assert!(error(&root).starts_with(&format!("{key}/secret holds no secret")));
    root.write("secret", vec![b'x'; 2 << 20]);
    assert!(error(&root).contains("cannot read /secret: it is over 1024 KiB"), "{}", error(&root));
    fs::remove_file(&secret).unwrap();
    assert!(error(&root).starts_with(&format!("{key}there is no file /secret; create it")));
    fs::create_dir(&secret).unwrap();
    assert!(error(&root).contains("cannot read /secret: it is a directory"));
}

#[test]
fn files_that_may_not_be_read_are_named_with_the_remedy() {
    let root = Root::new();
    let secret = root.write("secret", "x");
    let file = format!("{LEAST}client_secret_file = \"{}\"\n", secret.display());
    let file = root.write("etc/signpost/signpost.toml", file);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&secret).is_ok() {
        // Root may read everything: try as nobody.
        let this = std::env::current_exe().unwrap();
        let test = "files::files_that_may_not_be_read_are_named_with_the_remedy";
        match Command::new(this).args([test, "--exact"]).uid(65534).gid(65534).output() {
            Ok(ran) => assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout)),
            Err(error) => println!("skipped: nobody may not run this test: {error}"),
        }
        return;
    }
    let error = root.strip(root.load().unwrap().issuer().unwrap_err());
    let said = "/etc/signpost/signpost.toml:4: issuer.client_secret_file: not allowed to read /secret; hand it";
    assert!(error.starts_with(said), "{error}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let error = root.error();
    let said = "/etc/signpost/signpost.toml: not allowed to read it; let the agent's user";
    assert!(error.starts_with(said), "{error}");
}

#[test]
fn strange_files_are_refused_by_name() {
    let root = Root::new();
    fs::create_dir_all(root.path("etc/signpost/signpost.toml")).unwrap();
    assert!(
        root.error().starts_with("/etc/signpost/signpost.toml: cannot be read: it is a directory")
    );

    let root = Root::with("# \u{fe}\n".chars().map(|c| c as u8).collect::<Vec<_>>());
    assert!(
        root.error().starts_with("/etc/signpost/signpost.toml:1: found bytes that are not UTF-8")
    );

    let utf16: Vec<u8> = "\u{feff}[issuer]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Root::with(utf16).error().contains("save the file as UTF-8"));

    Root::with(format!("\u{feff}{LEAST}")).load().unwrap();

    let root = Root::with(vec![b'#'; 300 << 10]);
    let error = root.error();
    assert!(
        error.starts_with("/etc/signpost/signpost.toml: cannot be read: it is over 256 KiB"),
        "{error}"
    );

    let root = Root::with(LEAST);
    root.write("etc/signpost/signpost.d", "a file");
    let error = root.error();
    assert!(
        error.starts_with("/etc/signpost/signpost.d: cannot be read: Not a directory"),
        "{error}"
    );

    let root = Root::with(LEAST);
    fs::create_dir_all(root.path("etc/signpost/signpost.d")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.path("etc/signpost/signpost.d/a.toml")).unwrap();
    let error = root.error();
    assert!(error.starts_with("/etc/signpost/signpost.d/a.toml: there is no such file"), "{error}");

    let root = Root::with(LEAST);
    for nth in 0..65 {
        root.write(&format!("etc/signpost/signpost.d/{nth}.toml"), "");
    }
    assert!(root.error().contains("/etc/signpost/signpost.d: found more than 64 drop-ins"));
}

#[test]
fn large_and_deep_files_are_answered_briefly() {
    let size = 250 << 10;
    let many = |piece: &str| piece.repeat(size / piece.len());
    let numbered = |line: fn(usize) -> String| (0..8000).map(line).collect::<String>();
    for text in [
        many("["),
        many("a."),
        format!("{}=1", many("a.").trim_end_matches('.')),
        format!("a={}", many("[")),
        format!("a={}", many("{a=")),
        format!("[{}]", many("a.").trim_end_matches('.')),
        format!("a=[{}]", many("1,")),
        format!("[issuer]\nscopes=[{}]", many("\"a\",")),
        many("\n"),
        numbered(|n| format!("unknown-key-{n} = 1\n")),
        numbered(|n| format!("[panel.p{n}]\nkind = 1\n")),
        numbered(|n| format!("[[x]]\ny = {n}\n")),
    ] {
        let root = Root::with(&text);
        let error = root.error();
        assert!(error.len() < 64 << 10, "{} bytes for {:?}…", error.len(), &text[..20]);
    }
}

/// Pieces that a mutation puts in: what is next to right is worse than noise.
const PIECES: [&str; 16] = [
    "[",
    "]",
    "=",
    "\"",
    "'''",
    "\n",
    "{",
    "}",
    ".",
    "0123",
    "-1",
    "1e999",
    "true",
    "\u{feff}",
    "[panel.x]\n",
    "kind = \"json\"\n",
];

#[test]
fn no_mutation_of_the_sample_panics() {
    let on = |line: &'static str| {
        line.strip_prefix('#').filter(|key| !key.starts_with(' ')).unwrap_or(line)
    };
    let sample: Vec<&str> = config::SAMPLE.lines().map(on).collect();
    let root = Root::new();
    let mut accepted = 0;
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = rng.usize(..sample.len());
        let end = (start + rng.usize(1..20)).min(sample.len());
        let mut text: Vec<char> = sample[start..end].join("\n").chars().collect();
        for _ in 0..rng.usize(..4) {
            let at = rng.usize(..=text.len());
            match rng.u8(..4) {
                0 => drop(text.drain(at..(at + rng.usize(..8)).min(text.len()))),
                1 => drop(text.splice(at..at, rng.choice(PIECES).unwrap().chars())),
                2 => text.insert(at, char::from(rng.u8(..))),
                _ => {
                    let copied = text[at..(at + 40).min(text.len())].to_vec();
                    drop(text.splice(at..at, copied));
                }
            }
        }
        let text: String = text.into_iter().collect();
        let file = root.write("x.toml", format!("{}\n{text}", if rng.bool() { LEAST } else { "" }));
        check_one_line_each(&file, &mut accepted);
    }
    assert!(accepted > 0, "no mutation was valid: nothing beyond the syntax was tried");
}

fn check_one_line_each(file: &Path, accepted: &mut u32) {
    match config::load(&Sources::file(file)) {
        Ok(loaded) => {
            *accepted += 1;
            config::show(&loaded);
            config::unit(&loaded.config);
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            for line in error.to_string().lines() {
                assert!(
                    line.starts_with(&*file.to_string_lossy()) || line == "and more",
                    "{line:?}"
                );
                assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
            }
        }
    }
}

#[test]
fn the_clients_key_is_read_once_and_a_wrong_one_is_named_with_the_remedy() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap().pem();
    let root = Root::new();
    let key = root.write("key.pem", pair.serialize_pem());
    let cert = root.write("cert.pem", &certificate);
    let files = format!(
        "private_key_file = \"{}\"\ncertificate_file = \"{}\"\n",
        key.display(),
        cert.display()
    );
    root.write("etc/signpost/signpost.toml", format!("{LEAST}{files}"));
    let loaded = root.load().unwrap();
    assert!(loaded.client_identity().unwrap().is_none(), "signing alone shows no certificate");
    let signer = loaded.signer().unwrap();
    assert!(!format!("{signer:?} {loaded:?}").contains("PRIVATE"));

    root.write("cert.pem", "");
    let error = |root: &Root| root.strip(root.load().unwrap().signer().unwrap_err());
    assert!(
        error(&root).contains("issuer.certificate_file: holds no certificate"),
        "{}",
        error(&root)
    );
    root.write("key.pem", "nonsense");
    root.write("cert.pem", &certificate);
    let said = "/etc/signpost/signpost.toml:4: issuer.private_key_file: holds no key that can sign";
    assert!(error(&root).starts_with(said), "{}", error(&root));

    root.write("etc/signpost/signpost.toml", format!("{LEAST}auth = \"mtls\"\n{files}"));
    let identity = |root: &Root| root.load().unwrap().client_identity();
    let error = root.strip(identity(&root).err().unwrap());
    assert!(error.contains("issuer.private_key_file: holds no private key"), "{error}");
    root.write("key.pem", pair.serialize_pem());
    assert_eq!(identity(&root).unwrap().unwrap().chain.len(), 1);
}

#[test]
fn a_secret_may_be_a_credential_and_the_unit_asks_for_it() {
    let text = "client_secret_file = \"credential:client.secret\"\n";
    let root = Root::with(format!("{LEAST}{text}"));
    let loaded = root.load().unwrap();
    let unit = config::unit(&loaded.config);
    assert!(unit.contains("LoadCredentialEncrypted=client.secret\n"), "{unit}");
    // No systemd here: nothing is passed.
    let error = root.strip(loaded.issuer().unwrap_err());
    assert!(error.contains("issuer.client_secret_file: systemd passes no credentials"), "{error}");
}

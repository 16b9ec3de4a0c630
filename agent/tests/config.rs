//! The configuration as operators meet it: files, drop-ins and variables in, one line a problem out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use signpost::config::{self, ConfigError, Loaded, Sources};

/// The least that starts.
const LEAST: &str = "[issuer]\nurl = \"https://idp.example.com\"\nclient_id = \"signpost\"\n";

/// A device's file tree.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With `text` as the operator's file.
    fn with(text: impl AsRef<[u8]>) -> Self {
        let root = Self::new();
        root.write("etc/signpost/signpost.toml", text);
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), text.as_ref()).unwrap();
        path
    }

    fn sources(&self) -> Sources {
        Sources::installed(self.0.path())
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(&self.sources())
    }

    /// What is said, as if the tree were the root.
    fn strip(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.0.path().display()), "/")
    }

    fn error(&self) -> String {
        self.strip(self.load().unwrap_err())
    }

    fn warnings(&self) -> String {
        let warnings = self.load().unwrap().warnings;
        self.strip(warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

/// Loads `LEAST` with `text` after it and gives the errors, each relative to the first added line.
fn error_after_least(text: &str) -> String {
    let root = Root::with(format!("{LEAST}{text}"));
    match root.load() {
        Ok(loaded) => panic!("{text} was accepted: {:?}", loaded.config),
        Err(error) => root.strip(error).replace("/etc/signpost/signpost.toml:", "L"),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn shown(loaded: &Loaded, key: &str) -> String {
    let text = config::show(loaded);
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("{key} is not in\n{text}")).to_owned()
}

#[test]
fn two_keys_are_enough() {
    let loaded = Root::with(LEAST).load().unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.issuer.client_id.as_str(), "signpost");
    assert_eq!(loaded.origins.len(), 2);
}

#[test]
fn without_any_file_the_error_names_the_file_to_write() {
    let error = Root::new().error();
    assert!(error.contains("/etc/signpost/signpost.toml: issuer.url: missing; set"), "{error}");
    assert!(
        error.contains("/etc/signpost/signpost.toml: issuer.client_id: missing; set"),
        "{error}"
    );
}

#[test]
fn wrong_values_are_named_with_line_key_found_and_allowed() {
    for (text, line, key, found, allowed) in [
        (
            "client_secret_file = \"hunter2\"",
            4,
            "issuer.client_secret_file",
            "hidden",
            "absolute path",
        ),
        ("scopes = \"openid\"", 4, "issuer.scopes", "\"openid\"", "a list"),
        ("scopes = [5]", 4, "issuer.scopes", "the number 5", "a scope"),
        ("scopes = [\"a b\"]", 4, "issuer.scopes", "\"a b\"", "without blank"),
        ("dpop = \"true\"", 4, "issuer.dpop", "\"true\"", "true | false"),
        ("dpop = 1", 4, "issuer.dpop", "the number 1", "true | false"),
        ("auth = \"basic\"", 4, "issuer.auth", "\"basic\"", "\"secret-basic\""),
        ("resource = \"/api\"", 4, "issuer.resource", "\"/api\"", "absolute URI"),
        ("extra = { scope = \"x\" }", 4, "issuer.extra", "the name \"scope\"", "sends itself"),
        ("extra = \"x\"", 4, "issuer.extra", "hidden", "a table"),
        ("[device]\nid = \"a b\"", 5, "device.id", "\"a b\"", "letters, digits"),
        ("[device]\nid = 1979-05-27", 5, "device.id", "a date", "no key takes one"),
        ("[device]\nid = 1.5", 5, "device.id", "a number with a fraction", "no key takes one"),
        ("[device]\nlanguage = \"Deutsch\"", 5, "device.language", "\"Deutsch\"", "\"de-AT\""),
        ("[owner]\nallow = \"frist\"", 5, "owner.allow", "\"frist\"", "\"first\" | \"any\""),
        ("[owner]\nallow = {}", 5, "owner.allow", "no condition", "\"any\""),
        ("[owner]\nallow = { claim = {} }", 5, "owner.allow", "no condition", "\"any\""),
        (
            "[owner]\nallow = { claim = { x = 5 } }",
            5,
            "owner.allow.claim.x",
            "number 5",
            "on one line",
        ),
        ("[store]\ntokens = \"/x\"", 5, "store.tokens", "\"/x\"", "a table"),
        ("[store.tokens]\nsize = \"64 KB\"", 5, "store.tokens.size", "\"64 KB\"", "\"16 KiB\""),
        ("[store.tokens]\nsize = 65536", 5, "store.tokens.size", "number 65536", "\"16 KiB\""),
        ("[store.tokens]\nsize = \"17 KiB\"", 5, "store.tokens.size", "\"17 KiB\"", "multiple"),
        ("[store.tokens]\nsize = \"064 KiB\"", 5, "store.tokens.size", "\"064 KiB\"", "a size"),
        (
            "[store.spool]\nsize = \"99999999999999999999 GiB\"",
            5,
            "store.spool.size",
            "9 GiB",
            "auto",
        ),
        ("[store.spool]\nsize = \"20000000000 GiB\"", 5, "store.spool.size", "GiB", "too large"),
        ("[store.spool]\npath = \"spool\"", 5, "store.spool.path", "\"spool\"", "absolute path"),
        ("[store.spool]\npath = \"/a/../b\"", 5, "store.spool.path", "\"/a/../b\"", "leave out .."),
        ("[store]\ncommit = \"2 min\"", 5, "store.commit", "\"2 min\"", "\"60 s\""),
        ("[store]\ncommit = \"0 s\"", 5, "store.commit", "\"0 s\"", "must not be zero"),
        ("[store]\nkey = \"none\"", 5, "store.key", "hidden", "\"credential:NAME\""),
        ("[store]\nkey = []", 5, "store.key", "a list", "one to eight"),
        ("[panel.x]\nkind = \"ssd1307\"", 5, "panel.x.kind", "\"ssd1307\"", "\"ssd1306\""),
        ("[panel.Front]\nkind = \"json\"", 4, "panel", "the name \"Front\"", "a letter first"),
        ("[panel]\nkind = \"terminal\"", 5, "panel.kind", "\"terminal\"", "a table"),
        (
            "[panel.x]\nkind = \"serial\"\nport = \"/dev/ttyS0\"\nbaud = 1",
            7,
            "panel.x.baud",
            "number 1",
            "from 300 to",
        ),
        (
            "[panel.x]\nkind = \"serial\"\nport = \"/dev/ttyS0\"\nrotate = 45",
            7,
            "panel.x.rotate",
            "number 45",
            "0 | 90",
        ),
        (
            "[panel.x]\nkind = \"ssd1306\"\naddress = 0x80",
            6,
            "panel.x.address",
            "number 128",
            "from 8 to 119",
        ),
        ("[quiet]\nfrom = \"25:00\"", 5, "quiet.from", "\"25:00\"", "\"22:00\""),
        ("[lamp.x]\nline = \"17\"", 5, "lamp.x.line", "\"17\"", "\"gpiochip0:17\""),
        (
            "[telemetry]\nlisten = [\"0.0.0.0:4318\"]",
            5,
            "telemetry.listen",
            "\"0.0.0.0:4318\"",
            "use 127.0.0.1",
        ),
        (
            "[telemetry]\nlisten = [\"unix:run/x\"]",
            5,
            "telemetry.listen",
            "\"unix:run/x\"",
            "unix:/PATH",
        ),
        ("[telemetry]\nmax_age = \"1 week\"", 5, "telemetry.max_age", "\"1 week\"", "\"10 s\""),
        ("[telemetry]\nvitals = \"1 ms\"", 5, "telemetry.vitals", "\"1 ms\"", "\"1 s\""),
        (
            "[telemetry]\nheaders = { Host = \"x\" }",
            5,
            "telemetry.headers",
            "name \"Host\"",
            "lower case",
        ),
        (
            "[telemetry]\nheaders = { authorization = \"x\" }",
            5,
            "telemetry.headers",
            "authorization",
            "sends itself",
        ),
        (
            "[telemetry]\nquota = { logs = \"0 %\" }",
            5,
            "telemetry.quota.logs",
            "\"0 %\"",
            "1 % to 100 %",
        ),
        ("[broker]\nsocket = \"token.sock\"", 5, "broker.socket", "token.sock", "absolute path"),
        ("[broker.allow.x]\nuid = -1", 5, "broker.allow.x.uid", "number -1", "whole number"),
        ("[network]\nproxy = \"proxy:3128\"", 5, "network.proxy", "proxy:3128", "proxy's address"),
        (
            "[network]\nsystem_roots = 99999999999999999999",
            5,
            "network.system_roots",
            "more than 64 bits",
            "",
        ),
    ] {
        let error = error_after_least(text);
        let place = format!("L{line}: {key}: found ");
        let named = error.starts_with(&place) && error.contains(found) && error.contains(allowed);
        assert!(
            named && error.lines().count() == 1,
            "{text}\n gave: {error}\n want: {place}{found} {allowed}"
        );
    }
    let error = Root::with("[issuer]\nurl = \"https://x.example\"\nclient_id = 5\n").error();
    let said =
        "/etc/signpost/signpost.toml:3: issuer.client_id: found the number 5, allowed: a client id";
    assert!(error.starts_with(said) && error.lines().count() == 1, "{error}");
}

#[test]
fn what_is_not_toml_is_named_with_line_and_key() {
    for (text, place) in [
        ("[panel.x]\ncolumns = 0123\n", "L5: panel.x.columns: not TOML: "),
        ("[device]\nid = greenhouse\n", "L5: device.id: not TOML: "),
        ("dpop = true\ndpop = false\n", "L5: issuer.dpop: not TOML: duplicate key"),
        ("[device\nid = 1\n", "L4: device: not TOML: "),
        ("[issuer]\n", "L4: issuer: not TOML: duplicate key"),
        ("resource = \"abc\n", "L4: issuer.resource: not TOML: "),
    ] {
        let error = error_after_least(text);
        assert!(error.starts_with(place) && error.lines().count() == 1, "{text} gave: {error}");
        assert!(!error.contains("greenhouse") && !error.contains("abc"), "repeats input: {error}");
    }
}

#[test]
fn plain_http_leads_to_this_device_only() {
    for (url, accepted) in [
        ("https://idp.example.com", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080/realm", true),
        ("http://localhost:1", true),
        ("http://idp.example.com", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://10.0.0.1", false),
        ("https://user:secret@idp.example.com", false),
        ("https://idp.example.com#x", false),
        ("https://idp.example.com?x=1", false),
        ("https://", false),
        ("ftp://127.0.0.1", false),
        ("idp.example.com", false),
        ("https://idp.example.com /x", false),
    ] {
        let text = format!("[issuer]\nurl = \"{url}\"\nclient_id = \"x\"\n");
        let root = Root::with(text);
        match root.load() {
            Ok(_) => assert!(accepted, "{url} was accepted"),
            Err(error) => {
                let error = error.to_string();
                assert!(!accepted, "{url} was refused: {error}");
                assert!(error.contains(":2: issuer.url: found "), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
    }
}

#[test]
fn unknown_keys_stop_the_start_where_a_slip_could_give_the_device_away() {
    for (text, key, meant) in [
        ("client_secret = \"hunter2\"", "issuer.client_secret", "client_secret_file"),
        ("scope = [\"openid\"]", "issuer.scope", "scopes"),
        ("[owner]\nalow = \"first\"", "owner.alow", "allow"),
        ("[onwer]\nallow = \"first\"", "onwer", "owner"),
        ("[owner]\nallow = { tennant = \"x\" }", "owner.allow.tennant", "tenant"),
        ("[store]\ncomit = \"each\"", "store.comit", "commit"),
        ("[store.tokens]\nsiez = \"64 KiB\"", "store.tokens.siez", "size"),
        ("[broker.allow.x]\ngruop = \"x\"", "broker.allow.x.gruop", "group"),
    ] {
        let error = error_after_least(text);
        let line = error.lines().find(|line| line.contains(&format!(": {key}: unknown key; ")));
        let line = line.unwrap_or_else(|| panic!("{text} gave {error}"));
        assert!(line.contains(&format!("did you mean \"{meant}\"?")), "{line}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn unknown_keys_elsewhere_are_a_warning_at_run_and_an_error_in_check() {
    for (text, key, advice) in [
        ("[device]\nlangauge = \"de\"", "device.langauge", "did you mean \"language\"?"),
        ("[telemetry]\nendpiont = \"x\"", "telemetry.endpiont", "did you mean \"endpoint\"?"),
        ("[telemetry.when_full]\nspans = \"x\"", "telemetry.when_full.spans", "known here: events"),
        ("[panel.x]\nkind = \"terminal\"\nidel = 1", "panel.x.idel", "did you mean \"idle\"?"),
        ("[telemtry]\nx = 1", "telemtry", "did you mean \"telemetry\"?"),
        ("[\"a\\u0007b\"]\nx = 1", "\"a\\u0007b\"", "known here: device"),
    ] {
        let root = Root::with(format!("{LEAST}{text}\n"));
        let warnings = root.warnings();
        assert!(warnings.contains(&format!(": {key}: unknown key; {advice}")), "{warnings}");
        let error = root.strip(config::check(&root.sources()).unwrap_err());
        assert_eq!(error, warnings);
    }
}

#[test]
fn all_problems_of_all_sources_come_at_once_in_order() {
    let root = Root::with("[issuer]\nurl = 1\nclient_id = 2\n[quiet]\nfrom = 3\n");
    root.write("usr/lib/signpost/signpost.d/board.toml", "[panel.front]\nkind = \"lcd\"\n");
    root.write("etc/signpost/signpost.d/10.toml", "[device]\nid = \"\"\n");
    let sources = root.sources().environment(variables(&[("SIGNPOST__STORE__COMMIT", "1 y")]));
    let error = root.strip(config::load(&sources).unwrap_err());
    let places: Vec<&str> = error.lines().filter_map(|line| line.split(": found").next()).collect();
    assert_eq!(
        places,
        [
            "/usr/lib/signpost/signpost.d/board.toml:2: panel.front.kind",
            "/etc/signpost/signpost.toml:2: issuer.url",
            "/etc/signpost/signpost.toml:3: issuer.client_id",
            "/etc/signpost/signpost.toml:5: quiet.from",
            "/etc/signpost/signpost.d/10.toml:2: device.id",
            "$SIGNPOST__STORE__COMMIT: store.commit",
        ]
    );
}

#[test]
fn later_layers_win_key_by_key_and_say_so() {
    let root = Root::with(format!(
        "{LEAST}scopes = [\"openid\"]\n[device]\nlanguage = \"de\"\n[panel.front]\nidle = \"blank\"\n"
    ));
    root.write(
        "usr/lib/signpost/signpost.d/board.toml",
        "[device]\nid = \"maker\"\nlanguage = \"fr\"\nshow_account = \"none\"\n\
         [panel.front]\nkind = \"serial\"\nport = \"/dev/ttyS1\"\n[panel.back]\nkind = \"terminal\"\n",
    );
    root.write("etc/signpost/signpost.d/10-id.toml", "[device]\nid = \"ten\"\n");
    root.write("etc/signpost/signpost.d/9-id.toml", "[device]\nid = \"nine\"\n");
    root.write("etc/signpost/signpost.d/.hidden.toml", "[device]\nid = \"hidden\"\n");
    root.write("etc/signpost/signpost.d/20-id.toml.bak", "[device]\nid = \"backup\"\n");
    root.write("etc/signpost/signpost.d/30.toml", "[panel.back]\nenabled = false\n");
    let sources = root.sources().environment(variables(&[
        ("SIGNPOST__ISSUER__SCOPES", "openid, offline_access"),
        ("SIGNPOST__PANEL__FRONT__BAUD", "9600"),
        ("SIGNPOST__NETWORK__SYSTEM_ROOTS", "true"),
        ("SIGNPOSTS", "x"),
        ("PATH", "/bin"),
    ]));
    let loaded = config::load(&sources).unwrap();
    let show = |key: &str| {
        root.strip(shown(&loaded, key)).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(show("device.id"), "device.id = \"nine\" # /etc/signpost/signpost.d/9-id.toml:2");
    assert_eq!(show("device.language"), "device.language = \"de\" # /etc/signpost/signpost.toml:6");
    assert_eq!(
        show("device.show_account"),
        "device.show_account = \"none\" # /usr/lib/signpost/signpost.d/board.toml:4"
    );
    assert_eq!(show("issuer.dpop"), "issuer.dpop = false # default");
    assert_eq!(
        show("issuer.scopes"),
        "issuer.scopes = [\"openid\", \"offline_access\"] # $SIGNPOST__ISSUER__SCOPES"
    );
    let panels = &loaded.config.panels;
    assert_eq!(panels.len(), 1, "{panels:?}");
    assert_eq!(panels[0].name.as_str(), "front");
    assert_eq!(format!("{:?}", panels[0].idle), "Blank");
    assert!(format!("{:?}", panels[0].driver).contains("9600"), "{panels:?}");
}

#[test]
fn enabled_false_removes_an_entry_however_incomplete() {
    let text = "[panel.x]\nenabled = false\nkind = \"ssd1306\"\n[panel.y]\nenabled = false\n\
                [lamp.x]\nenabled = false\n[button.x]\nenabled = false\n[buzzer]\nenabled = false\n\
                [broker.allow.x]\nenabled = false\n";
    let loaded = Root::with(format!("{LEAST}{text}")).load().unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert!(config.panels.is_empty() && config.lamps.is_empty() && config.buttons.is_empty());
    assert!(config.buzzer.is_none() && config.broker.allow.is_empty());
}

#[test]
fn a_named_file_stands_in_place_of_the_installed_ones() {
    let root = Root::with("not read");
    let file = root.write("srv/board.toml", LEAST);
    root.write("srv/board.d/1.toml", "[device]\nid = \"drop-in\"\n");
    root.write("srv/signpost.d/1.toml", "not read");
    let sources =
        Sources::file(&file).environment(variables(&[("SIGNPOST__DEVICE__LANGUAGE", "es")]));
    let device = config::load(&sources).unwrap().config.device;
    assert_eq!(device.id.unwrap().as_str(), "drop-in");
    assert_eq!(device.language.as_str(), "es");

    let missing = config::load(&Sources::file(&root.path("srv/none.toml"))).unwrap_err();
    let missing = root.strip(missing);
    assert!(missing.starts_with("/srv/none.toml: there is no such file; create it"), "{missing}");
}

#[test]
fn drop_ins_are_checked_without_the_file_they_belong_to() {
    let root = Root::new();
    let panel =
        root.write("panel.toml", "[panel.front]\nbaud = 9600\n[lamp.x]\nactive_low = true\n");
    config::check(&Sources::files(std::slice::from_ref(&panel))).unwrap();
    let main = root.write("main.toml", LEAST);
    let error = config::check(&Sources::files(&[main, panel])).unwrap_err();
    let error = root.strip(error);
    assert!(
        error.contains("/panel.toml:2: panel.front.kind: missing; allowed: \"terminal\""),
        "{error}"
    );
    assert!(error.contains("/panel.toml:4: lamp.x.line: missing; name a GPIO line"), "{error}");
    let half = root.write("half.toml", "[issuer]\nurl = \"https://x.example\"\n");
    let error = config::check(&Sources::files(&[half])).unwrap_err();
    assert!(root.strip(error).starts_with("/half.toml:2: issuer.client_id: missing; set it"));
}

#[test]
fn the_environment_is_as_strict_as_files() {
    for (name, value, said) in [
        (
            "SIGNPOST__PANEL__X__COLUMNS",
            "0123",
            "panel.x.columns: found \"0123\", allowed: a whole number",
        ),
        ("SIGNPOST__PANEL__X__COLUMNS", "+5", "panel.x.columns: found \"+5\""),
        ("SIGNPOST__NETWORK__SYSTEM_ROOTS", "TRUE", "network.system_roots: found \"TRUE\""),
        ("SIGNPOST__DEVICE", "x", "not a key's name"),
        ("SIGNPOST__DEVICE__", "x", "not a key's name"),
        ("SIGNPOST__A[9999999999]__X", "x", "not a key's name"),
        ("SIGNPOST__A.B__C", "x", "not a key's name"),
        (
            "SIGNPOST__ISSUER__CLIENTID",
            "x",
            "issuer.clientid: unknown key; did you mean \"client_id\"?",
        ),
        ("SIGNPOST__STORE__SPOOL", "x", "store.spool: found \"x\", allowed: a table"),
        ("SIGNPOST__OWNER__ALLOW", "", "owner.allow: found \"\", allowed: \"first\""),
    ] {
        let root = Root::with(LEAST);
        let sources = root.sources().environment(variables(&[(name, value)]));
        let error = config::load(&sources).unwrap_err().to_string();
        assert!(error.starts_with(&format!("${name}: {said}")), "{error}");
    }
    let root = Root::with(LEAST);
    let garbled = OsString::from_vec(b"\xff\xfe".to_vec());
    let sources = root.sources().environment([("SIGNPOST__DEVICE__ID".into(), garbled.clone())]);
    let error = config::load(&sources).unwrap_err().to_string();
    assert!(error.contains("$SIGNPOST__DEVICE__ID: found bytes that are not UTF-8"), "{error}");
    let mut name = OsString::from("SIGNPOST__DEVICE__");
    name.push(garbled);
    let error = config::load(&root.sources().environment([(name, "x".into())])).unwrap_err();
    assert!(error.to_string().contains("not a key's name"), "{error}");
    let both =
        variables(&[("SIGNPOST__OWNER__ALLOW", "any"), ("SIGNPOST__OWNER__ALLOW__TENANT", "x")]);
    let error = config::load(&root.sources().environment(both)).unwrap_err().to_string();
    assert!(error.contains("$SIGNPOST__OWNER__ALLOW__TENANT: set together with"), "{error}");
}

#[test]
fn an_owner_rule_of_a_later_layer_narrows_or_replaces() {
    use signpost_core::owner::{Demand, OwnerRule};
    let root = Root::with(format!("{LEAST}[owner]\nallow = {{ tenant = \"acme\" }}\n"));
    let rule = |root: &Root| root.load().unwrap().config.owner.allow;
    assert_eq!(rule(&root), OwnerRule::Only(vec![Demand::Tenant("acme".into())]));
    root.write(
        "etc/signpost/signpost.d/1.toml",
        "[owner]\nallow.claim = { role = \"installer\" }\n",
    );
    assert_eq!(
        rule(&root),
        OwnerRule::Only(vec![
            Demand::Tenant("acme".into()),
            Demand::Claim("role".into(), "installer".into())
        ])
    );
    root.write("etc/signpost/signpost.d/2.toml", "[owner]\nallow = \"any\"\n");
    assert_eq!(rule(&root), OwnerRule::Any);
    root.write("etc/signpost/signpost.d/3.toml", "[owner]\nallow = { subject = \"anna\" }\n");
    assert_eq!(rule(&root), OwnerRule::Only(vec![Demand::Subject("anna".into())]));
}

#[test]
fn a_panel_that_this_build_lacks_is_one_plain_line() {
    let text = "[panel.front]\nkind = \"ssd1306\"\nbus = \"i2c-1\"\naddress = 0x3c\n[lamp.x]\nline = \"gpiochip0:1\"\n";
    let root = Root::with(format!("{LEAST}{text}"));
    assert_eq!(
        root.warnings(),
        "/etc/signpost/signpost.toml:5: panel.front.kind: found \"ssd1306\": not in this build; \
         built in: terminal, serial"
    );
    let panels = root.load().unwrap().config.panels;
    let config::Driver::NotBuiltIn { wiring, .. } = &panels[0].driver else { panic!("{panels:?}") };
    assert_eq!(wiring.address.unwrap().get(), 0x3c);
}

#[test]
fn what_only_shows_when_all_is_together_is_refused_with_advice() {
    for (text, said) in [
        (
            "auth = \"secret-post\"",
            "L4: issuer.client_secret_file: missing; issuer.auth = \"secret-post\" needs it",
        ),
        (
            "auth = \"mtls\"\nprivate_key_file = \"/k\"\ncertificate_file = \"/c\"",
            "L4: issuer.auth: found \"mtls\": not in this build",
        ),
        ("dpop = true", "L4: issuer.dpop: found true: not in this build"),
        ("[network]\nsystem_roots = false", "L5: network.ca_file: missing; "),
        (
            "[store.tokens]\npath = \"/x\"\n[store.spool]\npath = \"/x\"",
            "L7: store.spool.path: found the path of store.tokens",
        ),
        (
            "[telemetry]\nquota.logs = \"60 %\"",
            "L5: telemetry.quota: found 130 % of the spool in all",
        ),
        ("[lamp.x]\nline = \"gpiochip0:1\"", "panel: missing; a lamp alone cannot show a code"),
        ("[panel.x]\nkind = \"serial\"", "L5: panel.x.port: missing; name the serial line"),
        ("[panel.x]\nidle = \"blank\"", "L5: panel.x.kind: missing; allowed: "),
        ("[button.x]\nactive_low = true", "L5: button.x.line: missing; name a GPIO line"),
        (
            "[button.x]\nline = \"gpiochip0:1\"\ninput = \"/dev/input/event0\"",
            "L5: button.x.line: found line and input",
        ),
        ("[quiet]\nfrom = \"22:00\"", "quiet.to: missing; "),
        ("[quiet]\nfrom = \"22:00\"\nto = \"22:00\"", "L6: quiet.to: found the same time"),
        ("[broker.allow.x]\nscopes = [\"a\"]", "L5: broker.allow.x: missing; it applies to nobody"),
        ("[broker.allow.x]\nuid = 0", "L5: broker.allow.x: missing; it allows nothing"),
        (
            "[broker.allow.x]\nuid = 0\nuser = \"x\"\nscopes = [\"a\"]",
            "broker.allow.x: found more than one",
        ),
    ] {
        let error = error_after_least(text);
        assert!(error.contains(said) && error.lines().count() == 1, "{text} gave: {error}");
    }
    let warning =
        Root::with(format!("{LEAST}[panel.x]\nkind = \"terminal\"\nbaud = 9600\n")).warnings();
    assert!(
        warning.ends_with("panel.x.baud: a terminal panel does not use it; remove it"),
        "{warning}"
    );
}

#[test]
fn profiles_know_their_vendors_addresses() {
    for (issuer, url, token) in [
        ("profile = \"google\"", None, Some("https://oauth2.googleapis.com/token")),
        (
            "profile = \"entra\"\ntenant = \"acme.example\"",
            None,
            Some("https://login.microsoftonline.com/acme.example/oauth2/v2.0/token"),
        ),
        (
            "profile = \"auth0\"\nurl = \"https://acme.eu.auth0.com/\"",
            Some("https://acme.eu.auth0.com"),
            None,
        ),
        (
            "profile = \"entra\"\nurl = \"https://login.microsoftonline.us/x/v2.0\"",
            Some("https://login.microsoftonline.us/x/v2.0"),
            None,
        ),
    ] {
        let root = Root::with(format!("[issuer]\nclient_id = \"x\"\n{issuer}\n"));
        let issuer = root.load().unwrap().issuer().unwrap();
        assert_eq!(issuer.url.as_deref(), url);
        assert_eq!(issuer.explicit.token.as_deref(), token);
    }
    let error = Root::with("[issuer]\nclient_id = \"x\"\nprofile = \"okta\"\n").error();
    assert!(error.contains("signpost.toml:2: issuer.url: missing; "), "{error}");
}

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
        let test = "files_that_may_not_be_read_are_named_with_the_remedy";
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

#[test]
fn no_number_of_warnings_hides_an_error() {
    let unknown: String = (0..500).map(|n| format!("unknown-{n} = 1\n")).collect();
    let error = Root::with(format!("{LEAST}[device]\n{unknown}")).error();
    assert!(error.contains("more is wrong than can be listed"), "{error}");
}

#[test]
fn too_many_of_a_kind_are_refused_even_over_several_files() {
    let root = Root::with(LEAST);
    for (file, from) in [("1", 0), ("2", 40)] {
        let panels = (from..from + 40).map(|n| format!("[panel.p{n}]\nkind = \"terminal\"\n"));
        root.write(&format!("etc/signpost/signpost.d/{file}.toml"), panels.collect::<String>());
    }
    let error = root.error();
    assert!(error.contains("panel: found 80 entries, allowed: at most 64"), "{error}");
}

#[test]
fn the_unit_opens_exactly_what_is_configured() {
    let unit = |text: &str| {
        let root = Root::with(format!("{LEAST}{text}"));
        let unit = config::unit(&root.load().unwrap().config);
        unit.lines()
            .skip_while(|line| *line != "[Service]")
            .skip(1)
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    assert_eq!(unit("[panel.x]\nkind = \"terminal\"\n"), "");
    assert_eq!(
        unit(
            "[store]\ntokens.path = \"/dev/mtd3\"\nspool.path = \"/data/my spool/50%.flash\"\n\
             key = [\"credential:board.key\", \"auto\"]\n\
             [panel.x]\nkind = \"serial\"\nport = \"/dev/ttyAMA0\"\n\
             [panel.y]\nkind = \"st7789\"\nbus = \"spi-0.1\"\n\
             [lamp.x]\nline = \"gpiochip1:4\"\n[button.x]\ninput = \"/dev/input/event0\"\n"
        ),
        "PrivateDevices=no\nDevicePolicy=closed\n\
         DeviceAllow=/dev/gpiochip1 rw\nDeviceAllow=/dev/input/event0 rw\n\
         DeviceAllow=/dev/mtd3 rw\nDeviceAllow=/dev/spidev0.1 rw\nDeviceAllow=/dev/ttyAMA0 rw\n\
         SupplementaryGroups=dialout\nSupplementaryGroups=gpio\nSupplementaryGroups=input\nSupplementaryGroups=spi\n\
         ReadWritePaths=\"/data/my spool\"\nLoadCredentialEncrypted=board.key\n"
    );
}

#[test]
fn what_show_prints_loads_again_as_the_same() {
    let root = Root::with(format!(
        "{LEAST}[owner]\nallow = {{ domain = \"acme.example\", claim = {{ \"a.b c\" = \"d\\\"\\\\\" }} }}\n\
         [telemetry]\nattributes = {{ \"service.name\" = \"x\" }}\nvitals = \"1500 ms\"\n\
         [store]\nspool.size = \"1536 KiB\"\nkey = [\"auto\", \"file:/k\"]\ncommit = \"90 ms\"\n\
         [panel.a-b]\nkind = \"serial\"\nport = \"/dev/ttyS0\"\n"
    ));
    let first = root.load().unwrap();
    root.write("etc/signpost/signpost.toml", config::show(&first));
    let second = root.load().unwrap();
    assert_eq!(second.config, first.config);
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

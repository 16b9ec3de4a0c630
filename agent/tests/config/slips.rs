//! What people write wrong, and what they are told.

use crate::{LEAST, Root, error_after_least};
use signpost::config;

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
        (
            "[telemetry]\nendpoint = \"https://müller.example\"",
            5,
            "telemetry.endpoint",
            "müller",
            "as DNS has it (xn--",
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
        ("[store]\ncommit = \"2 min\"", 5, "store.commit", "\"2 min\"", "\"30 s\""),
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
            "[panel.x]\nkind = \"ssd1306\"\nbus = \"i2c-1\"\naddress = 0x80",
            7,
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
fn what_only_shows_when_all_is_together_is_refused_with_advice() {
    for (text, said) in [
        (
            "auth = \"secret-post\"",
            "L4: issuer.client_secret_file: missing; issuer.auth = \"secret-post\" needs it",
        ),
        (
            "auth = \"mtls\"\nprivate_key_file = \"/k\"",
            "L4: issuer.certificate_file: missing; issuer.auth = \"mtls\" needs it",
        ),
        (
            "auth = \"private-key-jwt\"\ncertificate_file = \"/c\"",
            "L4: issuer.private_key_file: missing; ",
        ),
        (
            "client_secret_file = \"credential:../x\"",
            "L4: issuer.client_secret_file: found a text of 15 characters (hidden)",
        ),
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
        (
            "[broker.allow.x]\nuid = 0\nresources = [\"https://a\", \"https://b\"]\nfile = \"/run/t\"",
            "L7: broker.allow.x.file: a file holds one token, and there are several resources",
        ),
    ] {
        let error = error_after_least(text);
        assert!(error.contains(said) && error.lines().count() == 1, "{text} gave: {error}");
    }
    let warning =
        Root::with(format!("{LEAST}[panel.x]\nkind = \"terminal\"\nbaud = 9600\n")).warnings();
    assert!(
        warning.ends_with("panel.x.baud: panels of kind terminal do not use it; remove it"),
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
            "profile = \"entra\"\ncloud = \"china\"",
            None,
            Some("https://login.partner.microsoftonline.cn/organizations/oauth2/v2.0/token"),
        ),
        (
            "profile = \"github\"\nurl = \"https://github.acme.example\"",
            Some("https://github.acme.example"),
            Some("https://github.acme.example/login/oauth/access_token"),
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
    let scopes = |profile: &str| {
        let root = Root::with(format!("{LEAST}profile = \"{profile}\"\n"));
        root.load().unwrap().issuer().unwrap().scopes
    };
    assert_eq!(scopes("generic"), ["openid", "offline_access"]);
    assert!(!scopes("google").contains(&"offline_access".to_owned()), "it would refuse them all");
    let root = Root::with(format!("{LEAST}profile = \"okta\"\ncloud = \"china\"\n"));
    assert!(
        root.warnings().contains("issuer.cloud: profile \"okta\" has none"),
        "{}",
        root.warnings()
    );
    let error = Root::with("[issuer]\nclient_id = \"x\"\nprofile = \"okta\"\n").error();
    assert!(error.contains("signpost.toml:2: issuer.url: missing; "), "{error}");
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

//! Files, drop-ins and variables over one another, and what comes out.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use signpost::config::{self, Sources};

use crate::{LEAST, Root, shown, variables};

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
            "[device]\npins = \"rppal\"\n[lamp.x]\nline = \"GPIO17\"\n[panel.x]\nkind = \"serial\"\nport = \"/dev/ttyS0\"\n"
        ),
        "PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow=/dev/gpiomem rw\n\
         DeviceAllow=/dev/gpiomem0 rw\nDeviceAllow=/dev/ttyS0 rw\nDeviceAllow=char-gpiochip rw\n\
         SupplementaryGroups=dialout\nSupplementaryGroups=gpio\n"
    );
    assert_eq!(
        unit(
            "[store]\ntokens.path = \"/dev/mtd3\"\nspool.path = \"/data/my spool/50%.flash\"\n\
             key = [\"credential:board.key\", \"auto\"]\n\
             [panel.x]\nkind = \"serial\"\nport = \"/dev/ttyAMA0\"\n\
             [panel.y]\nkind = \"st7789\"\nbus = \"spi-0.1\"\ndata = \"gpiochip0:25\"\n\
             [panel.z]\nkind = \"json\"\npath = \"/data/kiosk/screens\"\n\
             [lamp.x]\nline = \"gpiochip1:4\"\n[button.x]\ninput = \"/dev/input/event0\"\n"
        ),
        "PrivateDevices=no\nDevicePolicy=closed\n\
         DeviceAllow=/dev/gpiochip0 rw\nDeviceAllow=/dev/gpiochip1 rw\nDeviceAllow=/dev/input/event0 rw\n\
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

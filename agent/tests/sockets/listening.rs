//! Binding: who may connect, what is replaced, what is left alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use signpost::shell::sockets::Sockets;

use crate::stage::{Folder, Stage, answer_status, get, online, path_exists};

#[tokio::test]
async fn sockets_are_closed_to_others() {
    let folder = Folder::new();
    let _sockets = Sockets::bind(&folder.loaded.config).unwrap();
    for (name, mode) in [("control.sock", 0o600), ("token.sock", 0o600), ("otlp.sock", 0o660)] {
        let found = fs::symlink_metadata(folder.path(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
}

#[tokio::test]
async fn with_rules_the_token_socket_is_open_and_the_rules_decide() {
    let rule = "[broker.allow.telemetry]\nuser = \"nobody\"\nscopes = [\"telemetry.write\"]\n";
    let folder = Folder::with(rule);
    let _sockets = Sockets::bind(&folder.loaded.config).unwrap();
    let found = fs::symlink_metadata(folder.path("token.sock")).unwrap().permissions().mode();
    assert_eq!(found & 0o777, 0o666);
}

#[tokio::test]
async fn a_dead_agents_socket_is_replaced() {
    let folder = Folder::new();
    let path = folder.path("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let stage = Stage::within(Default::default(), folder, |_| answer_status(&online()));
    assert_eq!(stage.control(&get("/v1/status")).await.status, 200);
}

#[tokio::test]
async fn a_living_agents_socket_is_not() {
    let folder = Folder::new();
    let path = folder.path("control.sock");
    let living = UnixListener::bind(&path).unwrap();
    let error = Sockets::bind(&folder.loaded.config).unwrap_err().to_string();
    let at = path.display();
    assert_eq!(
        error,
        format!("control.socket: {at}: another agent listens there; stop it or name another")
    );
    drop(living);
}

#[tokio::test]
async fn something_else_of_that_name_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("token.sock");
    fs::File::create(&path).unwrap();
    let error = Sockets::bind(&folder.loaded.config).unwrap_err().to_string();
    assert!(error.contains("something else has this name"), "{error}");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert!(!path_exists(&folder.path("control.sock")), "what was bound is taken back");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::with(&format!("[metrics]\nlisten = \"{address}\"\n"));
    let error = Sockets::bind(&folder.loaded.config).unwrap_err().to_string();
    assert!(error.starts_with(&format!("metrics.listen: {address}: another program")), "{error}");
}

#[tokio::test]
async fn the_folder_is_made() {
    let folder = Folder::new();
    let path = folder.path("made/for/it.sock");
    let text = format!("[metrics]\nlisten = \"unix:{}\"\n", path.display());
    let _sockets = Sockets::bind(&Folder::with(&text).loaded.config).unwrap();
    assert!(path_exists(&path));
}

#[tokio::test]
async fn a_socket_that_somebody_else_has_put_there_is_not_removed() {
    let folder = Folder::new();
    let path = folder.path("control.sock");
    let sockets = Sockets::bind(&folder.loaded.config).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(sockets);
    assert!(path_exists(&path));
}

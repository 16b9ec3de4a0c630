//! Stores in every state that a disk, a person or another version may leave them in: the program
//! starts, or ends with one line that says what to do, and never loses what was acknowledged.

use super::{
    binary::Unit,
    clones::{ask_running, is_replaced, signed_in, status},
    device::Device,
    servers::Servers,
};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
};
use tokio::process::Command;

/// A store's segment in a file.
const SEGMENT: usize = 4096;

/// What becomes of a device whose token store `damage` was done to: its sign-in, and whether the
/// replaced store is reported. A second start must then have nothing more to say.
async fn after(damage: impl FnOnce(&Device, &mut Vec<u8>)) -> (Device, String, bool) {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let mut image = fs::read(device.path("state/tokens.flash")).unwrap();
    damage(&device, &mut image);
    device.write("state/tokens.flash", &image);
    let found = status(&device).await;
    let again = status(&device).await;
    assert!(!is_replaced(&again), "{again}");
    assert_eq!(again["device_id"], found["device_id"]);
    let grant = found["grant"]["status"].as_str().unwrap().to_owned();
    (device, grant, is_replaced(&found))
}

fn was_set_aside(device: &Device) -> bool {
    device.path("state/tokens.flash.set-aside-1").exists()
}

/// The last line of a start that failed, and its exit code.
async fn refused(unit: Unit) -> (Option<i32>, String) {
    let (code, written) = unit.end().await;
    let line = written.lines().last().unwrap_or_default().to_owned();
    assert!(!written.contains("panicked"), "{written}");
    (code, line)
}

/// The program as a user whom permissions bind: root is above them.
fn bound_by_permissions() -> Command {
    let program = env!("CARGO_BIN_EXE_signpost");
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let none = "-dac_override,-dac_read_search";
    command.args(["--bounding-set", none, "--inh-caps", none, program]);
    command
}

/// The program where no file may grow beyond `blocks` of 512 bytes, nor be written there.
fn on_a_full_disk(blocks: u32) -> Command {
    let mut command = Command::new("sh");
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_signpost"));
    command
}

fn set_mode(device: &Device, path: &str, mode: u32) {
    fs::set_permissions(device.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// CRC-32 as in Ethernet.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[tokio::test]
async fn an_image_cut_short_behind_its_log_still_holds() {
    let (_, grant, replaced) = after(|_, image| image.truncate(image.len() / 2 + 77)).await;
    assert_eq!((grant.as_str(), replaced), ("held", false));
}

#[tokio::test]
async fn an_image_cut_short_within_its_log_is_reported() {
    let (_, grant, replaced) = after(|_, image| image.truncate(SEGMENT / 2)).await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
}

#[tokio::test]
async fn an_empty_file_where_a_store_was_is_reported() {
    let (_, grant, replaced) = after(|_, image| image.clear()).await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
}

#[tokio::test]
async fn an_image_of_zeros_is_reported() {
    let (_, grant, replaced) = after(|_, image| image.fill(0)).await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
}

#[tokio::test]
async fn an_image_of_noise_is_set_aside_and_reported() {
    let (device, grant, replaced) = after(|_, image| {
        let mut random = fastrand::Rng::with_seed(1);
        random.fill(image);
    })
    .await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
    assert!(was_set_aside(&device));
}

#[tokio::test]
async fn a_store_of_another_version_is_set_aside_and_reported() {
    let (device, grant, replaced) = after(|_, image| {
        for header in image.chunks_mut(SEGMENT).filter(|segment| segment[0] == 0xA5) {
            header[1] = 2 << 4 | header[1] & 0x0F;
            let sum = crc(&header[..20]);
            header[20..24].copy_from_slice(&sum.to_le_bytes());
        }
    })
    .await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
    assert!(was_set_aside(&device), "the newer version may want it back");
}

#[tokio::test]
async fn a_store_of_another_device_is_set_aside_and_reported() {
    let (device, grant, replaced) = after(|device, _| device.write("board", b"another")).await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
    assert!(was_set_aside(&device));
}

#[tokio::test]
async fn a_store_of_another_key_is_set_aside_and_reported() {
    let (device, grant, replaced) =
        after(|device, _| device.write("state/signpost.key", &[9; 32])).await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
    assert!(was_set_aside(&device));
}

#[tokio::test]
async fn a_store_that_is_a_spool_is_set_aside_and_reported() {
    let (device, grant, replaced) = after(|device, image| {
        *image = fs::read(device.path("state/spool.flash")).unwrap();
    })
    .await;
    assert_eq!((grant.as_str(), replaced), ("none", true));
    assert!(was_set_aside(&device));
}

#[tokio::test]
async fn a_read_only_file_ends_the_start_with_one_line() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    set_mode(&device, "state/tokens.flash", 0o400);
    let (code, line) = refused(Unit::start_by(bound_by_permissions(), &device, &[])).await;
    assert_eq!(code, Some(77), "{line}");
    assert!(line.contains("tokens.flash: ") && line.contains("chown signpost"), "{line}");
    set_mode(&device, "state/tokens.flash", 0o600);
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_key_file_of_somebody_else_ends_the_start_with_one_line() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    // As one of root's is to the agent's user.
    set_mode(&device, "state/signpost.key", 0);
    let (code, line) = refused(Unit::start_by(bound_by_permissions(), &device, &[])).await;
    assert_eq!(code, Some(77), "{line}");
    assert!(line.contains("signpost.key") && line.contains("chown signpost"), "{line}");
    set_mode(&device, "state/signpost.key", 0o600);
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_second_one_says_who_is_there_already() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let first = Unit::start(&device, &[]);
    first.tells("STATUS=online").await;
    let (code, line) = refused(Unit::start(&device, &[])).await;
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains(&format!("process {} (signpost)", first.id())), "{line}");
    assert_eq!(ask_running(&device).await["grant"]["status"], "held");
    first.signal(Signal::TERM);
    assert_eq!(first.end().await.0, Some(0));
}

#[tokio::test]
async fn a_read_only_folder_with_its_stores_is_enough() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    set_mode(&device, "state", 0o500);
    let unit = Unit::start_by(bound_by_permissions(), &device, &[]);
    unit.tells("STATUS=online").await;
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    set_mode(&device, "state", 0o700);
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_read_only_folder_where_a_store_must_go_aside_ends_the_start_with_one_line() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let board = fs::read(device.path("board")).unwrap();
    device.write("board", b"another");
    set_mode(&device, "state", 0o500);
    let (code, line) = refused(Unit::start_by(bound_by_permissions(), &device, &[])).await;
    set_mode(&device, "state", 0o700);
    assert_eq!(code, Some(77), "{line}");
    assert!(line.contains("tokens.flash: "), "{line}");
    device.write("board", &board);
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_file_replaced_while_running_disturbs_nobody_and_is_set_aside_later() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=online").await;
    device.write("state/noise", &[0x5A; 16 * SEGMENT]);
    fs::rename(device.path("state/noise"), device.path("state/tokens.flash")).unwrap();
    assert_eq!(ask_running(&device).await["grant"]["status"], "held");
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    let found = status(&device).await;
    assert!(is_replaced(&found) && was_set_aside(&device), "{found}");
}

#[tokio::test]
async fn a_segment_zeroed_while_running_costs_no_start() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let unit = Unit::start(&device, &[]);
    unit.tells("STATUS=online").await;
    let file = fs::File::options().write(true).open(device.path("state/tokens.flash")).unwrap();
    file.write_all_at(&[0; SEGMENT], 0).unwrap();
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    status(&device).await;
}

#[tokio::test]
async fn a_full_disk_at_the_first_start_ends_it_with_one_line() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let (code, line) = refused(Unit::start_by(on_a_full_disk(0), &device, &[])).await;
    assert_eq!(code, Some(75), "{line}");
    assert!(line.contains("check the disk"), "{line}");
    assert_eq!(status(&device).await["grant"]["status"], "none", "and then it starts");
}

#[tokio::test]
async fn invariant_1_a_full_disk_later_is_a_fault_and_the_sign_in_goes_on() {
    let servers = Servers::start().await;
    let device = signed_in(&servers).await;
    let unit = Unit::start_by(on_a_full_disk(0), &device, &[]);
    unit.tells("E14").await;
    unit.signal(Signal::TERM);
    assert_eq!(unit.end().await.0, Some(0));
    assert_eq!(status(&device).await["grant"]["status"], "held");
}

#[tokio::test]
async fn a_region_smaller_than_the_least_is_a_slip_of_the_configuration() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    device.edit("tokens.flash\"", "tokens.flash\", size = \"8 KiB\"");
    let (code, line) = refused(Unit::start(&device, &[])).await;
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains("store.tokens.size") && line.contains("16 KiB"), "{line}");
}

#[tokio::test]
async fn what_is_no_medium_is_refused_and_left_alone() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let path = device.path("state/tokens.flash");
    device.edit(path.to_str().unwrap(), "/dev/null");
    let unit = Unit::start(&device, &[("STATE_DIRECTORY", device.root().to_str().unwrap())]);
    let (code, line) = refused(unit).await;
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains("/dev/null: ") && line.contains("[store]"), "{line}");
}

/// A loop device over a file of the device's folder; it goes with the value.
struct Loop(String);

impl Loop {
    fn over(device: &Device, name: &str) -> Self {
        device.write(name, &vec![0; 1 << 20]);
        let made = std::process::Command::new("losetup")
            .args(["--find", "--show"])
            .arg(device.path(name))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Self(String::from_utf8(made.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

#[tokio::test]
#[ignore = "needs root and loop devices"]
async fn with_real_block_devices_a_foreign_store_is_erased_and_anything_else_refused() {
    let servers = Servers::start().await;
    let device = Device::new(&servers);
    let [tokens, spool] = ["tokens.img", "spool.img"].map(|name| Loop::over(&device, name));
    let path = |name: &str| device.path(name).display().to_string();
    device.edit(&path("state/tokens.flash"), &tokens.0);
    device.edit(&path("state/spool.flash"), &spool.0);
    let key = path("state/signpost.key");
    fs::create_dir(device.path("state")).unwrap();
    device.write("state/signpost.key", &[7; 32]);
    set_mode(&device, "state/signpost.key", 0o600);
    device.edit("[store]", &format!("[store]\nkey = \"file:{key}\""));
    // Behind what the store uses.
    let behind = 900_000;
    let node = fs::File::options().read(true).write(true).open(&tokens.0).unwrap();
    node.write_all_at(b"needed", behind).unwrap();
    let first = status(&device).await;
    device.write("board", b"another");
    let second = status(&device).await;
    assert!(!is_replaced(&first) && is_replaced(&second), "{second}");
    assert_ne!(first["device_id"], second["device_id"]);
    assert_eq!(status(&device).await["device_id"], second["device_id"]);
    let mut kept = [0; 6];
    node.read_exact_at(&mut kept, behind).unwrap();
    assert_eq!(&kept, b"needed");

    node.write_all_at(&[0x5A; 16 * SEGMENT], 0).unwrap();
    let (code, line) = refused(Unit::start(&device, &[])).await;
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains(&tokens.0) && line.contains("blkdiscard"), "{line}");
    let mut kept = [0; 16 * SEGMENT];
    node.read_exact_at(&mut kept, 0).unwrap();
    assert_eq!(kept, [0x5A; 16 * SEGMENT], "not touched");
}

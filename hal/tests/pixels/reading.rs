//! What a phone reads off each panel, or what a person types where there is no QR code.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use signpost_hal::screen::{Frame, Ink, Style, Surface, layout};

use crate::camera::{Photo, Shot};
use crate::samples::{NOW, addresses, sign_in};
use crate::surfaces::{LOW_OLED, OLED, OTHERS};

/// How many pictures of one code are taken.
const TRIES: usize = 3;

/// What a person tries: from where they stand, held straight, nearer. A glowing panel has a dark
/// bezel, a reflecting one a light bezel and poor light.
fn photos(frame: &Frame) -> impl Iterator<Item = Photo> {
    let bitmap = frame.bitmap().unwrap();
    let ink = frame.picture.as_ref().unwrap().ink();
    let size = (bitmap.width(), bitmap.height());
    [(0.05, 1.0), (0.0, 1.0), (0.02, 1.2)].into_iter().map(move |(tilt, nearer)| {
        let shot = shot(ink, size.0, tilt);
        let shot = Shot { zoom: shot.zoom * nearer, ..shot };
        shot.take(size, |x, y| bitmap.get(x, y) == (ink == Ink::Light))
    })
}

fn shot(ink: Ink, width: u16, tilt: f32) -> Shot {
    let zoom = (900.0 / f32::from(width)).min(3.0);
    let shot = Shot { zoom, grey: (85.0, 165.0), bezel: 190.0, tilt, blur: 1, noise: 10.0 };
    match ink {
        Ink::Light => Shot { grey: (40.0, 190.0), bezel: 20.0, ..shot },
        Ink::Dark => shot,
    }
}

/// Scheme and host compare without case, the rest with it.
fn same_address(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{}://{}{}", scheme.to_lowercase(), rest[..end].to_lowercase(), &rest[end..])
}

/// The frame for an address, if the planner chose to show a QR code; else the text is complete.
fn shown(uri: &str, surface: Surface) -> Option<Frame> {
    let screen = sign_in("WDJB-MJHT", uri, None);
    let frame = layout(&screen, surface, 0, NOW);
    let mut address = String::new();
    for page in 0..frame.pages {
        let lines = layout(&screen, surface, page, NOW).lines;
        let text = |style| lines.iter().filter(move |line| line.style == style);
        assert_eq!(text(Style::Code).map(|line| &*line.text).collect::<String>(), "WDJB-MJHT");
        address.extend(text(Style::Address).map(|line| &*line.text));
    }
    let typed = uri.trim_start_matches("https://").trim_start_matches("www.");
    assert_eq!(address, typed.trim_end_matches('/'), "{surface:?}");
    frame.qr.is_some().then_some(frame)
}

/// For how many addresses the planner shows a QR code. One decoder has to do here, which misses
/// one of the smallest symbols that the others read.
fn is_read_on(surface: Surface) -> usize {
    let (mut count, mut at_once, mut missed) = (0, 0, Vec::new());
    for uri in addresses() {
        let Some(frame) = shown(&uri, surface) else { continue };
        let right =
            |read: &[String]| read.len() == 1 && same_address(&read[0]) == same_address(&uri);
        let tries = photos(&frame).map(|photo| photo.read()).position(|read| right(&read));
        missed.extend(tries.is_none().then(|| uri.clone()));
        at_once += usize::from(tries == Some(0));
        count += 1;
    }
    assert!(missed.len() <= 1, "{missed:?} on {surface:?}");
    assert!(at_once * 10 >= count * 9, "{at_once} of {count} on {surface:?}");
    count
}

#[test]
fn on_an_oled() {
    assert_eq!(is_read_on(LOW_OLED), 0, "text alone");
    assert_eq!(is_read_on(OLED), 28, "up to 29 modules");
}

#[test]
fn on_small_colour_panels() {
    let counts: Vec<_> = [0, 1, 3].map(|at| is_read_on(OTHERS[at].1)).into();
    assert_eq!(counts, [47, 45, 47]);
}

#[test]
fn on_paper() {
    assert_eq!(is_read_on(OTHERS[2].1), 47);
}

#[test]
fn on_panels_of_320_pixels() {
    assert!(OTHERS[4..6].iter().all(|(_, surface)| is_read_on(*surface) == addresses().len()));
}

#[test]
fn on_large_panels() {
    assert!(OTHERS[6..].iter().all(|(_, surface)| is_read_on(*surface) == addresses().len()));
}

/// The camera is no better than a phone's: what the planner never does is not read.
#[test]
fn modules_of_one_pixel_and_light_modules_on_a_dark_field_are_read_by_nobody() {
    for uri in addresses() {
        let Some(frame) = shown(&uri, OLED) else { continue };
        let bitmap = frame.bitmap().unwrap();
        let shot = shot(Ink::Light, 128, 0.05);
        let small = shot.take((64, 32), |x, y| bitmap.get(2 * x, 2 * y)).read();
        let inverse = shot.take((128, 64), |x, y| !bitmap.get(x, y)).read();
        assert_eq!((small.len(), inverse.len()), (0, 0), "{uri}");
    }
}

/// Asserts that two of rqrr, zbarimg and OpenCV read each code that is shown. Needs `zbarimg` in
/// the path and a Python with `cv2`: `SIGNPOST_PYTHON`, or the one that the tests install.
pub(crate) fn is_read_by_two_decoders_of_three() {
    let surfaces = || [OLED, LOW_OLED].into_iter().chain(OTHERS.map(|(_, surface)| surface));
    let mut codes: Vec<(Surface, String, Frame, [bool; 3])> = Vec::new();
    for surface in surfaces() {
        let shown = addresses().into_iter().filter_map(|uri| Some((shown(&uri, surface)?, uri)));
        codes.extend(shown.map(|(frame, uri)| (surface, uri, frame, [false; 3])));
    }
    let texts = surfaces().count() * addresses().len() - codes.len();
    for number in 0..TRIES {
        let folder = tempfile::tempdir().unwrap();
        let open: Vec<_> = codes.iter_mut().filter(|code| code.3.contains(&false)).collect();
        let taken = open.into_iter().enumerate().map(|(at, code)| {
            let photo = photos(&code.2).nth(number).unwrap();
            let path = folder.path().join(format!("{at}.pgm"));
            File::create(&path).unwrap().write_all(&photo.pgm()).unwrap();
            let right =
                |read: &str| read.contains("://") && same_address(read) == same_address(&code.1);
            code.3[0] |= right(&photo.read().concat());
            code.3[1] |= right(&zbar(&path));
            (code, path)
        });
        let taken: Vec<_> = taken.collect();
        let read = opencv(&taken.iter().map(|(_, path)| path).collect::<Vec<_>>());
        assert_eq!(read.len(), taken.len());
        for ((code, _), read) in taken.into_iter().zip(read) {
            code.3[2] |= read.contains("://") && same_address(&read) == same_address(&code.1);
        }
        let missed = |at: usize| codes.iter().filter(|code| !code.3[at]).count();
        let [rqrr, zbar, opencv] = [0, 1, 2].map(missed);
        let count = codes.len();
        println!(
            "try {number}, {count} codes: rqrr misses {rqrr}, zbarimg {zbar}, OpenCV {opencv}"
        );
    }
    for (surface, uri, _, read) in &codes {
        let count = read.iter().filter(|read| **read).count();
        assert!(count >= 2, "{uri} on {surface:?}: {read:?}");
    }
    let [rqrr, zbar, opencv] = [0, 1, 2].map(|at| codes.iter().filter(|code| code.3[at]).count());
    let count = codes.len();
    println!(
        "{count} codes: rqrr reads {rqrr}, zbarimg {zbar}, OpenCV {opencv}; {texts} as text alone"
    );
}

fn zbar(path: &Path) -> String {
    let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(path).output();
    String::from_utf8(output.expect("zbarimg is there").stdout).unwrap().trim().to_owned()
}

fn opencv(paths: &[&PathBuf]) -> Vec<String> {
    const READ: &str = "\
import sys, cv2
for path in sys.argv[1:]:
    print(cv2.QRCodeDetector().detectAndDecode(cv2.imread(path, cv2.IMREAD_GRAYSCALE))[0])";
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/.cache/python/bin/python");
    let python = std::env::var_os("SIGNPOST_PYTHON").unwrap_or_else(|| own.into_os_string());
    let output = Command::new(python).args(["-c", READ]).args(paths).output();
    let output = output.expect("Python is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

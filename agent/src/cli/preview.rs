//! `signpost preview`: what a panel would show, without the hardware.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use signpost_hal::panel::{Json, Panel as _};
use signpost_hal::screen::{
    Area, Bitmap, Frame, Ink, Language, Screen, Surface, layout_in, samples,
};

use super::exit::{Exit, Failure};
use super::output;

/// When all previews are, since the board started.
const NOW: Duration = Duration::from_secs(100);
/// Cells of a terminal and a serial line.
const TERMINAL: (u16, u16) = (80, 24);
/// What has more columns than this is printed with eight pixels a character instead of two.
const WIDE: u16 = 130;
/// The screens on the contact sheet.
const SHEET: [&str; 5] = ["sign-in-complete", "sign-in", "signed-in", "offline", "fault"];
/// Pixels between two panels on the contact sheet.
const GAP: u16 = 16;
/// Pixels across above which a panel is not on it.
const LARGE: u16 = 500;
/// Pixels across below which a panel is enlarged.
const SMALL: u16 = 200;

/// A kind of panel with the size that most have.
struct Kind {
    name: &'static str,
    size: (u16, u16),
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Terminal,
    Serial,
    Json,
    Characters,
    Oled,
    Colour,
    Paper,
}

const KINDS: [Kind; 10] = [
    Kind { name: "terminal", size: TERMINAL, shape: Shape::Terminal },
    Kind { name: "serial", size: TERMINAL, shape: Shape::Serial },
    Kind { name: "json", size: TERMINAL, shape: Shape::Json },
    Kind { name: "hd44780", size: (16, 2), shape: Shape::Characters },
    Kind { name: "ssd1306", size: (128, 64), shape: Shape::Oled },
    Kind { name: "sh1106", size: (128, 64), shape: Shape::Oled },
    Kind { name: "st7735", size: (160, 128), shape: Shape::Colour },
    Kind { name: "st7789", size: (240, 240), shape: Shape::Colour },
    Kind { name: "epaper", size: (200, 200), shape: Shape::Paper },
    Kind { name: "framebuffer", size: (480, 320), shape: Shape::Colour },
];

/// Other sizes of theirs that `--all` draws as well.
const SIZES: [(&str, (u16, u16)); 3] =
    [("hd44780", (20, 4)), ("ssd1306", (128, 32)), ("framebuffer", (800, 480))];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which kind of panel
    #[arg(long, default_value = "terminal", value_parser = PossibleValuesParser::new(KINDS.map(|kind| kind.name)))]
    panel: String,
    /// Which screen; a wrong name lists them
    #[arg(long, default_value = "sign-in-complete")]
    screen: String,
    /// Pixels, or cells of an hd44780, e.g. 128x32
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u16, u16)>,
    /// Language, e.g. de
    #[arg(long, value_name = "TAG", default_value = "en")]
    language: String,
    /// Write a picture (PNG) of the first page instead of text
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write a picture of every screen on every kind of panel, and a contact sheet
    #[arg(long, requires = "out", conflicts_with_all = ["png", "size"])]
    all: bool,
    /// The folder for them; it is made if it is not there
    #[arg(long, value_name = "DIR", requires = "all")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let language = Language::of(&arguments.language);
    if let Some(folder) = &arguments.out {
        return all(folder, language).map(|()| Exit::Done);
    }
    let screens = samples(NOW);
    let Some((_, screen)) = screens.iter().find(|(name, _)| *name == arguments.screen) else {
        let names: Vec<_> = screens.iter().map(|(name, _)| *name).collect();
        let text =
            format!("no screen is called {}; there are {}", arguments.screen, names.join(", "));
        return Err(Failure::new(Exit::Usage, "usage", text));
    };
    let known = KINDS.iter().find(|kind| kind.name == arguments.panel);
    let Some(kind) = known else { return Err(Failure::new(Exit::Usage, "usage", "no such panel")) };
    let look = Look { kind, size: arguments.size.unwrap_or(kind.size), language };
    match &arguments.png {
        Some(file) => look.picture(screen).enlarged().save(file)?,
        None => output::print(&look.text(screen)?)?,
    }
    Ok(Exit::Done)
}

/// A panel of some kind and size that speaks some language.
struct Look<'a> {
    kind: &'a Kind,
    size: (u16, u16),
    language: Language,
}

impl Look<'_> {
    fn surface(&self) -> Surface {
        let (width, height) = self.size;
        let pixels = |ink, slow| Surface::Pixels { width, height, ink, slow };
        match self.kind.shape {
            Shape::Terminal => Surface::Terminal { columns: width, rows: height },
            Shape::Serial | Shape::Json => Surface::Serial,
            Shape::Characters => Surface::Characters { columns: width, rows: height },
            Shape::Oled => pixels(Ink::Light, false),
            Shape::Colour => pixels(Ink::Dark, false),
            Shape::Paper => pixels(Ink::Dark, true),
        }
    }

    fn frame(&self, screen: &Screen, page: usize) -> Frame {
        layout_in(self.language, screen, self.surface(), page, NOW)
    }

    /// The first page.
    fn picture(&self, screen: &Screen) -> Picture {
        let frame = self.frame(screen, 0);
        match (frame.bitmap(), &frame.picture) {
            (Some(bitmap), Some(picture)) => Picture { bitmap, ink: picture.ink() },
            _ => Picture { bitmap: frame.print(self.size.0, self.size.1), ink: Ink::Light },
        }
    }

    /// All pages, with how long each stays.
    fn text(&self, screen: &Screen) -> Result<String, Failure> {
        if self.kind.shape == Shape::Json {
            let mut line = Vec::new();
            let shown = Json::new(&mut line, self.language).show(screen, NOW);
            shown.map_err(|error| Failure::new(Exit::Later, "panel", error))?;
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        let pages = self.frame(screen, 0).pages;
        let mut text = String::new();
        for page in 0..pages {
            let frame = self.frame(screen, page);
            match (frame.bitmap(), &frame.picture) {
                (Some(bitmap), Some(picture)) => {
                    text.push_str(&Picture { bitmap, ink: picture.ink() }.text());
                }
                // The picture shows the QR code as well.
                _ if frame.qr.is_some() => {
                    let symbol = Picture { bitmap: symbol(&frame), ink: Ink::Light };
                    text.push_str(&symbol.text());
                    text.extend(frame.lines.iter().map(|line| format!("{}\n", line.text)));
                }
                _ => text.extend(frame.lines.iter().map(|line| format!("{}\n", line.text))),
            }
            if pages > 1 {
                text.push_str(&format!("({} of {pages}, {} s)\n", page + 1, frame.stay.as_secs()));
            }
        }
        Ok(text)
    }
}

/// The QR code of a frame of characters, a pixel a module.
fn symbol(frame: &Frame) -> Bitmap {
    let Some(placed) = &frame.qr else { return Bitmap::new(0, 0) };
    let size = u16::try_from(placed.size()).unwrap_or(0);
    let mut bitmap = Bitmap::new(size, size);
    for (y, row) in (0..size).zip(0..) {
        for (x, column) in (0..size).zip(0..) {
            let inside = |at: usize| at.checked_sub(placed.quiet);
            let dark =
                inside(column).zip(inside(row)).is_some_and(|(x, y)| placed.qr.is_dark(x, y));
            bitmap.set(x, y, !dark);
        }
    }
    bitmap
}

/// What is on a panel, and what its ink looks like.
struct Picture {
    bitmap: Bitmap,
    ink: Ink,
}

impl Picture {
    /// In characters; on a terminal in colours that no theme changes.
    fn text(&self) -> String {
        let coloured = output::is_terminal();
        let is_lit = |x, y| {
            let inside = x < self.bitmap.width() && y < self.bitmap.height();
            inside && (self.bitmap.get(x, y) == (self.ink == Ink::Light || !coloured))
        };
        let is_wide = self.bitmap.width() > WIDE;
        let (across, down) = if is_wide { (2, 4) } else { (1, 2) };
        let mut text = String::new();
        for y in (0..self.bitmap.height()).step_by(down) {
            let cells = (0..self.bitmap.width()).step_by(across);
            let row: String = cells
                .map(|x| if is_wide { braille(&is_lit, x, y) } else { half_block(&is_lit, x, y) })
                .collect();
            if coloured {
                text.push_str(&format!("\x1b[38;5;231;48;5;16m{row}\x1b[0m\n"));
            } else {
                text.push_str(row.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Small panels with several pixels for each of theirs.
    fn enlarged(self) -> Self {
        let scale = (SMALL * 2 / self.bitmap.width().max(1)).max(1);
        let size = |length: u16| length.saturating_mul(scale);
        let mut bitmap = Bitmap::new(size(self.bitmap.width()), size(self.bitmap.height()));
        bitmap.paste(&self.bitmap, (0, 0), scale, false);
        Self { bitmap, ..self }
    }

    fn save(&self, file: &Path) -> Result<(), Failure> {
        let written = File::create(file).and_then(|mut out| {
            png(&self.bitmap, self.ink, &mut out)?;
            out.flush()
        });
        written.map_err(|error| cannot_write(file, &error))
    }
}

fn half_block(is_lit: &impl Fn(u16, u16) -> bool, x: u16, y: u16) -> char {
    match (is_lit(x, y), is_lit(x, y + 1)) {
        (false, false) => ' ',
        (true, false) => '▀',
        (false, true) => '▄',
        (true, true) => '█',
    }
}

/// Two by four dots (Unicode, block Braille Patterns).
fn braille(is_lit: &impl Fn(u16, u16) -> bool, x: u16, y: u16) -> char {
    const DOTS: [(u16, u16); 8] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
    let dots = (0..).zip(DOTS).filter(|(_, (right, below))| is_lit(x + right, y + below));
    let pattern: u32 = dots.map(|(bit, _)| 1 << bit).sum();
    char::from_u32(0x2800 + pattern).filter(|_| pattern > 0).unwrap_or(' ')
}

/// A picture of every screen on every kind of panel, and one of the most common together.
fn all(folder: &Path, language: Language) -> Result<(), Failure> {
    let sizes = |kind: &Kind| {
        let others = SIZES.iter().filter(|(name, _)| *name == kind.name).map(|(_, size)| *size);
        std::iter::once(kind.size).chain(others.collect::<Vec<_>>())
    };
    let looks = KINDS.iter().filter(|kind| kind.shape != Shape::Json);
    let looks = looks.flat_map(|kind| sizes(kind).map(move |size| Look { kind, size, language }));
    let mut rows = Vec::new();
    for look in looks {
        let name = format!("{}-{}x{}", look.kind.name, look.size.0, look.size.1);
        let place = folder.join(&name);
        fs::create_dir_all(&place).map_err(|error| cannot_write(&place, &error))?;
        let mut row = Vec::new();
        for (screen_name, screen) in samples(NOW) {
            let picture = look.picture(&screen).enlarged();
            picture.save(&place.join(format!("{screen_name}.png")))?;
            if SHEET.contains(&screen_name) {
                row.push(picture);
            }
        }
        rows.push((name, row));
    }
    let count = rows.len();
    rows.retain(|(_, row)| row.iter().all(|picture| picture.bitmap.width() <= LARGE));
    let sheet = Picture { bitmap: sheet(&rows), ink: Ink::Dark };
    let file = folder.join("contact-sheet.png");
    sheet.save(&file)?;
    output::print(&format!("{count} panels, {}\n", file.display()))
}

/// Panels on white paper, a row for each with its name.
fn sheet(rows: &[(String, Vec<Picture>)]) -> Bitmap {
    let across = |row: &[Picture]| row.iter().map(|it| it.bitmap.width() + GAP).sum::<u16>() + GAP;
    let down =
        |row: &[Picture]| row.iter().map(|it| it.bitmap.height()).max().unwrap_or(0) + 2 * GAP;
    let width = rows.iter().map(|(_, row)| across(row)).max().unwrap_or(0);
    let mut sheet = Bitmap::new(width, rows.iter().map(|(_, row)| down(row)).sum::<u16>() + GAP);
    let mut y = GAP;
    for (name, row) in rows {
        sheet.write(name, GAP, y);
        let mut x = GAP;
        for Picture { bitmap, ink } in row {
            let (width, height) = (bitmap.width(), bitmap.height());
            let edge = Area { x: x - 1, y: y + GAP - 1, width: width + 2, height: height + 2 };
            sheet.fill(edge, true);
            sheet.paste(bitmap, (x, y + GAP), 1, *ink == Ink::Light);
            x += width + GAP;
        }
        y += down(row);
    }
    sheet
}

/// Writes a PNG of one bit a pixel (PNG, third edition, sections 5 and 11). Deflate and checksum
/// are those that telemetry is compressed with.
fn png(bitmap: &Bitmap, ink: Ink, out: &mut impl Write) -> io::Result<()> {
    let mut header = Vec::new();
    header.extend(u32::from(bitmap.width()).to_be_bytes());
    header.extend(u32::from(bitmap.height()).to_be_bytes());
    // One bit of grey; deflate, no filters, no interlace.
    header.extend([1, 0, 0, 0, 0]);
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in bitmap.rows() {
        // A set bit is light.
        let row: Vec<u8> =
            row.iter().map(|byte| if ink == Ink::Light { *byte } else { !byte }).collect();
        pixels.write_all(&[0])?;
        pixels.write_all(&row)?;
    }
    out.write_all(b"\x89PNG\r\n\x1a\n")?;
    chunk(out, b"IHDR", &header)?;
    chunk(out, b"IDAT", &pixels.finish()?)?;
    chunk(out, b"IEND", &[])
}

fn chunk(out: &mut impl Write, name: &[u8; 4], data: &[u8]) -> io::Result<()> {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(data);
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(name)?;
    out.write_all(data)?;
    out.write_all(&crc.sum().to_be_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let text =
        format!("cannot write {}: {error}; choose a folder that you may write to", path.display());
    Failure::new(Exit::Later, "output", text)
}

/// `240x240`; sides as in the configuration.
fn size(text: &str) -> Result<(u16, u16), &'static str> {
    let number = |text: &str| text.parse().ok().filter(|it| (1..=4096).contains(it));
    let size = text.split_once('x').and_then(|(width, height)| number(width).zip(number(height)));
    size.ok_or("two numbers up to 4096 such as 240x240")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read as _;

    /// Chunks of a PNG, each with its checksum checked.
    fn chunks(file: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut rest = file.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let length =
                usize::try_from(u32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
            let sum = u32::from_be_bytes(rest[8 + length..12 + length].try_into().unwrap());
            let mut crc = Crc::new();
            crc.update(&rest[4..8 + length]);
            assert_eq!(crc.sum(), sum);
            let name = String::from_utf8(rest[4..8].to_vec()).unwrap();
            chunks.push((name, rest[8..8 + length].to_vec()));
            rest = &rest[12 + length..];
        }
        chunks
    }

    #[test]
    fn a_png_holds_each_pixel_with_ink_dark_or_light() {
        let mut bitmap = Bitmap::new(10, 2);
        bitmap.set(0, 0, true);
        bitmap.set(9, 1, true);
        for (ink, pixels) in
            [(Ink::Light, [0, 0x80, 0, 0, 0, 0x40]), (Ink::Dark, [0, 0x7F, 0xFF, 0, 0xFF, 0xBF])]
        {
            let mut file = Vec::new();
            png(&bitmap, ink, &mut file).unwrap();
            let chunks = chunks(&file);
            let names: Vec<_> = chunks.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["IHDR", "IDAT", "IEND"]);
            assert_eq!(chunks[0].1, [0, 0, 0, 10, 0, 0, 0, 2, 1, 0, 0, 0, 0]);
            let mut unpacked = Vec::new();
            ZlibDecoder::new(&chunks[1].1[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, pixels);
        }
    }

    #[test]
    fn every_panel_shows_every_screen_as_text_and_as_a_picture() {
        for kind in &KINDS {
            let look = Look { kind, size: kind.size, language: Language::ENGLISH };
            for (name, screen) in samples(NOW) {
                assert!(!look.text(&screen).unwrap().trim().is_empty(), "{name} on {}", kind.name);
                let bitmap = look.picture(&screen).bitmap;
                assert!(bitmap != Bitmap::new(bitmap.width(), bitmap.height()), "{name}");
            }
        }
    }

    #[test]
    fn the_folder_has_a_picture_for_each_and_a_sheet() {
        let folder = tempfile::tempdir().unwrap();
        all(folder.path(), Language::ENGLISH).unwrap();
        let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
        let panels = KINDS.len() - 1 + SIZES.len();
        assert_eq!(count(folder.path()), panels + 1);
        assert_eq!(count(&folder.path().join("ssd1306-128x32")), samples(NOW).len());
        let sheet = fs::read(folder.path().join("contact-sheet.png")).unwrap();
        assert_eq!(chunks(&sheet).len(), 3);
    }

    #[test]
    fn sizes_are_two_numbers() {
        assert_eq!(size("128x32"), Ok((128, 32)));
        for wrong in ["", "128", "128x", "0x1", "1x5000", "x"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}

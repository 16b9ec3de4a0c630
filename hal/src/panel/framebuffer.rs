//! The framebuffer of a display that the kernel drives (`/dev/fb0`), in black and white.
//!
//! Size and pixel format come from `/sys/class/graphics` (Linux, Documentation/ABI/testing/
//! sysfs-graphics and drivers/video/fbdev/core/fbsysfs.c); rows are written, not mapped, so that a
//! display that goes away is an error and no signal.
#![expect(unsafe_code, reason = "ioctl(2) of drivers has no safe door; one call, here")]

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::ioctl::{IntegerSetter, Opcode, ioctl};

use super::{Glass, PanelError, advice, io_error};
use crate::screen::{Area, Bitmap};

/// Lights the display with 0 (`linux/fb.h`, FB_BLANK_UNBLANK).
const FBIOBLANK: Opcode = 0x4611;
/// Rows that are written together.
const ROWS: u16 = 16;

/// The display. All bits of a pixel set are white and none are black, whatever their order.
#[derive(Debug)]
pub struct Framebuffer {
    file: File,
    size: (u16, u16),
    /// Bytes from one row to the next.
    stride: u64,
    /// Bytes of a pixel.
    depth: usize,
}

impl Framebuffer {
    /// Opens the framebuffer at `path`, e.g. `/dev/fb0`.
    ///
    /// # Errors
    /// There is none, this user may not write to it, or it has another format than 16, 24 or 32
    /// bits a pixel.
    pub fn open(path: &Path) -> Result<Self, PanelError> {
        let name = path.file_name().unwrap_or_default();
        Self::open_as(path, &Path::new("/sys/class/graphics").join(name))
    }

    fn open_as(path: &Path, attributes: &Path) -> Result<Self, PanelError> {
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(|error| advice::cannot_open(path, &error))?;
        let read = |name: &str| fs::read_to_string(attributes.join(name)).unwrap_or_default();
        let wrong = |what: &str| PanelError::new(format!("{}: {what}", path.display()));
        // The first mode is the one in use, as in `U:800x480p-60`; what is virtual may be larger.
        let mode = read("modes");
        let mode = mode.lines().next().and_then(|line| line.split_once(':'));
        let shown = mode.and_then(|(_, mode)| pair(mode, 'x'));
        let size = shown.or_else(|| pair(&read("virtual_size"), ','));
        let size = size.ok_or_else(|| wrong("does not tell its size"))?;
        let bits: usize = read("bits_per_pixel").trim().parse().unwrap_or_default();
        if !matches!(bits, 16 | 24 | 32) {
            return Err(wrong(&format!("has {bits} bits a pixel: set 16 or 32")));
        }
        let depth = bits / 8;
        let least = u64::from(size.0) * depth as u64;
        let stride = read("stride").trim().parse().unwrap_or_default();
        Ok(Self { file, size, stride: least.max(stride), depth })
    }
}

/// Two numbers with `mark` between them; what follows the second does not count.
fn pair(text: &str, mark: char) -> Option<(u16, u16)> {
    let (first, second) = text.trim().split_once(mark)?;
    let digits = second.find(|c: char| !c.is_ascii_digit()).unwrap_or(second.len());
    Some((first.parse().ok()?, second[..digits].parse().ok()?)).filter(|&(a, b)| a > 0 && b > 0)
}

impl Glass for Framebuffer {
    fn size(&self) -> (u16, u16) {
        self.size
    }

    /// Where no console is on it, a display of DRM stays dark until somebody asks for light.
    fn start(&mut self) -> Result<(), PanelError> {
        // Many drivers know no such thing. One that is gone is found out next.
        // SAFETY: `linux/fb.h` gives the opcode, which takes an integer and no memory.
        let _ = unsafe { ioctl(&self.file, IntegerSetter::<FBIOBLANK>::new_usize(0)) };
        Ok(())
    }

    fn draw(&mut self, picture: &Bitmap, area: Area) -> Result<(), PanelError> {
        if self.stride != u64::from(self.size.0) * self.depth as u64 {
            let columns = area.x..area.x + area.width;
            return (area.y..area.y + area.height)
                .try_for_each(|y| self.write(picture, columns.clone(), y..y + 1));
        }
        // Up to Linux 6.1 at the least, DRM takes a write within one row that ends where the row
        // ends for an empty one, and does not show it (drivers/gpu/drm/drm_fb_helper.c,
        // drm_fb_helper_memory_range_to_clip). So two rows at the least, of which all is written.
        let (mut next, end) = (area.y, area.y + area.height);
        while next < end {
            let below = end.min(next + ROWS).max(2).min(self.size.1);
            self.write(picture, 0..self.size.0, next.min(below.saturating_sub(2))..below)?;
            next = below;
        }
        Ok(())
    }
}

impl Framebuffer {
    /// Writes these columns of these rows: several rows only if the columns are all that a row has.
    fn write(
        &self,
        picture: &Bitmap,
        columns: Range<u16>,
        rows: Range<u16>,
    ) -> Result<(), PanelError> {
        let at = u64::from(rows.start) * self.stride + u64::from(columns.start) * self.depth as u64;
        let mut bytes = Vec::with_capacity(columns.len() * rows.len() * self.depth);
        for y in rows {
            for x in columns.clone() {
                let light = if picture.get(x, y) { 0x00 } else { 0xFF };
                bytes.extend(std::iter::repeat_n(light, self.depth));
            }
        }
        self.file.write_all_at(&bytes, at).map_err(|error| io_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::{Panel as _, Pixels, Turn};
    use crate::screen::{Language, Screen, Surface, layout};
    use std::time::Duration;

    struct Board(tempfile::TempDir);

    impl Board {
        fn new(attributes: &[(&str, &str)], bytes: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            File::create(folder.path().join("fb0")).unwrap().set_len(bytes as u64).unwrap();
            for (name, value) in attributes {
                let file = File::create(folder.path().join(name)).unwrap();
                file.write_all_at(value.as_bytes(), 0).unwrap();
            }
            Self(folder)
        }

        fn open(&self) -> Result<Framebuffer, PanelError> {
            Framebuffer::open_as(&self.0.path().join("fb0"), self.0.path())
        }

        fn memory(&self) -> Vec<u8> {
            fs::read(self.0.path().join("fb0")).unwrap()
        }
    }

    #[test]
    fn pixels_stand_where_stride_and_depth_put_them() {
        for (bits, stride) in [("16\n", 700), ("24\n", 960), ("32\n", 1280)] {
            let attributes = [
                ("modes", "U:320x240p-60\nU:640x480p-60\n"),
                ("virtual_size", "320,480\n"),
                ("bits_per_pixel", bits),
                ("stride", &format!("{stride}\n")),
            ];
            let board = Board::new(&attributes, stride * 480);
            let mut panel = Pixels::new(board.open().unwrap(), Turn::None, Language::ENGLISH);
            panel.show(&Screen::NoNetwork, Duration::ZERO).unwrap();
            let glass = board.open().unwrap();
            let surface =
                Surface::Pixels { width: 320, height: 240, ink: glass.ink(), slow: false };
            let expected = layout(&Screen::NoNetwork, surface, 0, Duration::ZERO).bitmap().unwrap();
            let memory = board.memory();
            for y in 0..240 {
                for x in 0..320 {
                    let at = usize::from(y) * stride + usize::from(x) * glass.depth;
                    let light = if expected.get(x, y) { 0 } else { 0xFF };
                    assert!(memory[at..at + glass.depth].iter().all(|&byte| byte == light));
                }
            }
            assert!(
                memory[240 * stride..].iter().all(|&byte| byte == 0),
                "not beyond what is shown"
            );
        }
    }

    #[test]
    fn no_write_begins_and_ends_with_the_same_row_but_where_rows_have_more_than_is_shown() {
        let bitmap = Bitmap::new(320, 240);
        for (stride, first, changed) in [(640, 6, 640 * 2), (700, 7, 2 * 2)] {
            let stride_line = stride.to_string();
            let attributes = [
                ("virtual_size", "320,240"),
                ("bits_per_pixel", "16"),
                ("stride", stride_line.as_str()),
            ];
            let board = Board::new(&attributes, stride * 240);
            let area = Area { x: 318, y: 7, width: 2, height: 1 };
            board.open().unwrap().draw(&bitmap, area).unwrap();
            let memory = board.memory();
            let lit = memory.iter().filter(|&&byte| byte == 0xFF).count();
            assert_eq!(
                (memory.iter().position(|&byte| byte == 0xFF).unwrap() / stride, lit),
                (first, changed)
            );
        }
    }

    #[test]
    fn a_framebuffer_that_is_missing_or_of_another_kind_is_an_error_with_advice() {
        let board = Board::new(&[("virtual_size", "320,240"), ("bits_per_pixel", "8")], 0);
        let error = board.open().unwrap_err().to_string();
        assert!(error.ends_with("has 8 bits a pixel: set 16 or 32"), "{error}");
        let board = Board::new(&[("virtual_size", "0,240")], 0);
        assert!(board.open().unwrap_err().to_string().ends_with("does not tell its size"));
        let error = Framebuffer::open(Path::new("/dev/fb250")).unwrap_err().to_string();
        assert!(error.contains("/dev/fb250 does not exist"), "{error}");
    }

    #[test]
    fn a_framebuffer_that_goes_away_is_an_error() {
        let attributes = [("virtual_size", "320,240"), ("bits_per_pixel", "16")];
        let board = Board::new(&attributes, 0);
        let full = Framebuffer {
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            ..board.open().unwrap()
        };
        let mut panel = Pixels::new(full, Turn::None, Language::ENGLISH);
        assert!(panel.show(&Screen::Online, Duration::ZERO).is_err());
    }
}

//! A panel as the camera of a phone sees it: within a bezel, a little from the side, blurred,
//! unevenly lit, in low contrast and with noise. The same picture every time.

/// Grey pixels.
pub(crate) struct Photo {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) grey: Vec<u8>,
}

/// How a picture is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot {
    /// Camera pixels for a pixel of the panel.
    pub(crate) zoom: f32,
    /// What a dark and a light pixel of the panel look like.
    pub(crate) grey: (f32, f32),
    pub(crate) bezel: f32,
    /// How much narrower the far edge is than the near one.
    pub(crate) tilt: f32,
    /// Radius of the blur in camera pixels.
    pub(crate) blur: usize,
    /// The noise's amplitude.
    pub(crate) noise: f32,
}

/// Panel pixels around the panel that are in the picture as well.
const AROUND: f32 = 14.0;
/// Width of the bezel, in panel pixels.
const BEZEL: f32 = 8.0;
/// The wall behind.
const WALL: f32 = 120.0;

impl Shot {
    /// Takes a picture of a panel of `width` by `height` pixels, of which `is_light` tells.
    pub(crate) fn take(self, size: (u16, u16), is_light: impl Fn(u16, u16) -> bool) -> Photo {
        let (across, down) = (f32::from(size.0) + 2.0 * AROUND, f32::from(size.1) + 2.0 * AROUND);
        let (width, height) = (round(across * self.zoom), round(down * self.zoom));
        let at = |x: f32, y: f32| -> f32 {
            let (x, y) = (x - AROUND, y - AROUND);
            let outside = |margin: f32| {
                x < -margin
                    || y < -margin
                    || x >= f32::from(size.0) + margin
                    || y >= f32::from(size.1) + margin
            };
            match (outside(0.0), outside(BEZEL)) {
                (_, true) => WALL,
                (true, false) => self.bezel,
                (false, false) if is_light(whole(x), whole(y)) => self.grey.1,
                (false, false) => self.grey.0,
            }
        };
        let mut grey = Vec::with_capacity(width * height);
        let mut noise = 0x2545_F491_u32;
        for row in 0..height {
            for column in 0..width {
                let mut sum = 0.0;
                // Four points of each camera pixel.
                for (right, below) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                    let (u, v) = (float(column) + right, float(row) + below);
                    let (u, v) = (u / float(width), v / float(height));
                    // The upper edge is farther away, and the right one a little.
                    let far = 1.0 - self.tilt * (1.0 - v);
                    let x = 0.5 + (u - 0.5) / far;
                    let y = 0.5 + (v - 0.5) / (1.0 - self.tilt * 0.4 * u);
                    sum += at(x * across, y * down);
                }
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let grain = (f32::from(u8::try_from(noise >> 24).unwrap()) / 255.0 - 0.5) * 2.0;
                let light = 0.92 + 0.16 * float(column) / float(width);
                let value = sum / 4.0 * light + grain * self.noise;
                grey.push(value.clamp(0.0, 255.0));
            }
        }
        // Two boxes are nearly a bell.
        for _ in 0..2 {
            grey = boxed(&grey, width, self.blur, 1);
            grey = boxed(&grey, width, self.blur, width);
        }
        Photo { width, height, grey: grey.into_iter().map(byte).collect() }
    }
}

impl Photo {
    /// The QR codes that rqrr finds.
    pub(crate) fn read(&self) -> Vec<String> {
        let pixel = |x: usize, y: usize| self.grey[y * self.width + x];
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(self.width, self.height, pixel);
        image.detect_grids().iter().filter_map(|grid| Some(grid.decode().ok()?.1)).collect()
    }

    /// As a file that every reader knows (netpbm's PGM).
    pub(crate) fn pgm(&self) -> Vec<u8> {
        let mut file = format!("P5\n{} {}\n255\n", self.width, self.height).into_bytes();
        file.extend(&self.grey);
        file
    }
}

/// The mean along rows (`step` 1) or columns (`step` the width).
fn boxed(grey: &[f32], width: usize, radius: usize, step: usize) -> Vec<f32> {
    let line = |at: usize| if step == 1 { at / width } else { at % width };
    let mean = |at: usize| {
        let reach = (0..=2 * radius).filter_map(|offset| {
            let near = (at + offset * step).checked_sub(radius * step)?;
            let same = step != 1 || line(near) == line(at);
            grey.get(near).filter(|_| same)
        });
        let (sum, count) = reach.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    (0..grey.len()).map(mean).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn byte(value: f32) -> u8 {
    value.round() as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn whole(value: f32) -> u16 {
    value as u16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn round(value: f32) -> usize {
    value as usize
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn float(value: usize) -> f32 {
    value as f32
}

//! An image as text, with what is needed to open it and what it holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use signpost_hal::flash::Geometry;

use crate::second_reader::Queue;

/// Bytes of the image in a line.
const ROW: usize = 48;

/// An image and what it holds.
pub(super) struct Fixture {
    pub(super) title: String,
    pub(super) geometry: Geometry,
    pub(super) face: Face,
    pub(super) image: Vec<u8>,
}

/// Which store it is, and its content.
pub(super) enum Face {
    Tokens { keys: Vec<[u8; 32]>, device: Vec<u8>, values: BTreeMap<u8, Vec<u8>> },
    Spool { queues: BTreeMap<[u8; 20], Queue> },
}

impl Fixture {
    pub(super) fn text(&self) -> String {
        let (g, mut out) = (self.geometry, String::new());
        let (face, kind) = match &self.face {
            Face::Tokens { keys, device, values } => {
                let mut out = String::new();
                keys.iter()
                    .for_each(|key| writeln!(out, "outer key, bytes of {}", key[0]).unwrap());
                writeln!(out, "device {}", bytes(device)).unwrap();
                for (key, value) in values {
                    writeln!(out, "value {key} {}", bytes(value)).unwrap();
                }
                (out, "tokens")
            }
            Face::Spool { queues } => {
                let mut out = String::new();
                for (name, queue) in queues {
                    // A queue's name is one byte over and over, and so is its key.
                    writeln!(out, "queue {} first {}", name[0], queue.first).unwrap();
                    writeln!(out, "cursor {}", bytes(&queue.cursor)).unwrap();
                    for record in &queue.records {
                        writeln!(out, "record {}", bytes(record)).unwrap();
                    }
                }
                (out, "spool")
            }
        };
        let (erase, program, units) = (g.erase_unit(), g.program_unit(), g.units());
        let how = if g.overwrites() { "overwrites" } else { "nor" };
        writeln!(out, "{}\n{kind} {erase} {program} {units} {how}\n{face}image", self.title)
            .unwrap();
        for (n, row) in self.image.chunks(ROW).enumerate() {
            if row.iter().any(|byte| *byte != blank(g)) {
                let text: String = row.chunks(3).map(base64).collect();
                writeln!(out, "{:x} {text}", n * ROW).unwrap();
            }
        }
        out
    }

    pub(super) fn parse(text: &str) -> Self {
        let (head, rows) = text.split_once("\nimage\n").unwrap();
        let mut lines = head.lines();
        let title = lines.next().unwrap().to_owned();
        let shape: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let [erase, program, units] = [1, 2, 3].map(|n| shape[n].parse().unwrap());
        let mut geometry = Geometry::new(erase, program, units).unwrap();
        if shape[4] == "overwrites" {
            geometry = geometry.overwriting();
        }
        let mut face = match shape[0] {
            "tokens" => {
                Face::Tokens { keys: Vec::new(), device: Vec::new(), values: BTreeMap::new() }
            }
            _ => Face::Spool { queues: BTreeMap::new() },
        };
        lines.for_each(|line| face.read(line));
        let mut image = vec![blank(geometry); geometry.size() as usize];
        for row in rows.lines() {
            let (at, row) = row.split_once(' ').unwrap();
            let at = usize::from_str_radix(at, 16).unwrap();
            let row = unbase64(row);
            image[at..at + row.len()].copy_from_slice(&row);
        }
        Self { title, geometry, face, image }
    }
}

impl Face {
    fn read(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap();
        match self {
            Self::Tokens { keys, device, values } => match what {
                "outer" => keys.push([rest.rsplit(' ').next().unwrap().parse().unwrap(); 32]),
                "device" => *device = unbytes(rest),
                _ => {
                    let (key, value) = rest.split_once(' ').unwrap();
                    values.insert(key.parse().unwrap(), unbytes(value));
                }
            },
            Self::Spool { queues } => {
                if what == "queue" {
                    let (name, first) = rest.split_once(" first ").unwrap();
                    let first = first.parse().unwrap();
                    queues.insert([name.parse().unwrap(); 20], Queue { first, ..Queue::default() });
                    return;
                }
                // Queues come in the order of their names.
                let mut last = queues.last_entry().unwrap();
                match what {
                    "cursor" => last.get_mut().cursor = unbytes(rest),
                    _ => last.get_mut().records.push(unbytes(rest)),
                }
            }
        }
    }
}

fn blank(geometry: Geometry) -> u8 {
    if geometry.overwrites() { 0 } else { 0xFF }
}

/// Content is plain text, or one character many times.
fn bytes(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if rest.len() > 20 && rest.iter().all(|byte| byte == first) => {
            format!("{} times {}", bytes.len(), char::from(*first))
        }
        _ => format!("{:?}", std::str::from_utf8(bytes).unwrap()),
    }
}

fn unbytes(text: &str) -> Vec<u8> {
    match text.split_once(" times ") {
        Some((count, of)) if !text.starts_with('"') => {
            vec![of.as_bytes()[0]; count.parse().unwrap()]
        }
        _ => text.trim_matches('"').as_bytes().to_vec(),
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(three: &[u8]) -> String {
    let number = (0..3).fold(0, |n, i| n << 8 | usize::from(*three.get(i).unwrap_or(&0)));
    let digit = |i: usize| char::from(DIGITS[number >> (18 - 6 * i) & 63]);
    (0..4).map(|i| if i > three.len() { '=' } else { digit(i) }).collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: &u8| DIGITS.iter().position(|digit| digit == c).unwrap_or(0);
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let number = four.iter().fold(0, |n, c| n << 6 | value(c));
        let count = 3 - four.iter().filter(|c| **c == b'=').count();
        bytes.extend((0..count).map(|i| (number >> (16 - 8 * i)) as u8));
    }
    bytes
}

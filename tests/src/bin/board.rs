//! What the hal does on the board that this program runs on, found out another way than the hal's:
//! pixels are read back from the framebuffer, lines from the register of their pins.
//!
//! A check prints what it found and ends with 0; with 3 if the hal refused, and then the last line is
//! the hal's sentence; with 1 if the board shows anything else than it should.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use embedded_hal::i2c::I2c as _;
use embedded_hal::spi::SpiDevice as _;
use evdev::uinput::{VirtualDevice, VirtualDeviceBuilder};
use evdev::{AttributeSet, InputEvent, KeyCode};
use signpost_hal::clock;
use signpost_hal::panel::bus::{Board as _, BusName, LineName, Through};
use signpost_hal::panel::{
    Button, ButtonThread, Contact, Controller, Hardware, Key, Lamp, Light, Mount, Panel,
    PanelError, PanelThread, Press, light,
};
use signpost_hal::screen::{Bitmap, Ink, Screen, SignIn, Surface, layout, samples};

const USAGE: &str = "usage: board [--as UID GID] CHECK
  model                          which board it is, for the kernel and for rppal
  framebuffer NODE SIZE BITS     every screen, drawn and read back; e.g. 800x480 and 32 a pixel
  key                            a key that this program makes (uinput): pressed, let go, unplugged
  key NODE                       opens the key of an input device
  button PLACE CONSOLE           a line, or the key of an input device, pressed when CONSOLE is asked
  show NODE PLACE CONSOLE        a code on a framebuffer until that button is pressed
  lamp LINE THROUGH ADDRESS BIT  a lamp, on and off; its level is bit BIT of the register at ADDRESS
  i2c BUS ADDRESS THROUGH        writes to a device, directly and as an LCD and an OLED
  spi BUS THROUGH                writes to a device
THROUGH is linux or raspberry-pi.";

/// When screens are drawn, since the board started.
const NOW: Duration = Duration::from_secs(100);
/// How long anything may take, on the slowest board.
const PATIENCE: Duration = Duration::from_secs(20);
/// What no screen leaves behind.
const NOISE: u8 = 0x5A;

/// Why a check did not end well.
enum Trouble {
    Usage,
    /// The hal's own sentence.
    Refused(PanelError),
    /// The board is not as it should be.
    Wrong(String),
}

impl From<PanelError> for Trouble {
    fn from(error: PanelError) -> Self {
        Self::Refused(error)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match check(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(Trouble::Refused(sentence)) => {
            println!("{sentence}");
            ExitCode::from(3)
        }
        Err(Trouble::Wrong(what)) => {
            println!("wrong: {what}");
            ExitCode::FAILURE
        }
    }
}

fn check(arguments: &[&str]) -> Result<(), Trouble> {
    match arguments {
        ["--as", user, group, rest @ ..] => {
            let mut program = Command::new("/proc/self/exe");
            // Only comes back if it could not start.
            Err(wrong(program.args(rest).uid(number(user)?).gid(number(group)?).exec()))
        }
        ["model"] => model(),
        ["framebuffer", node, size, bits] => {
            let (width, height) = size.split_once('x').ok_or(Trouble::Usage)?;
            let bits: usize = number(bits)?;
            framebuffer(Path::new(node), (number(width)?, number(height)?), bits / 8)
        }
        ["key"] => virtual_key(),
        ["key", node] => {
            Key::open(Path::new(node), None)?;
            Ok(())
        }
        ["button", place, console] => button(place, Path::new(console)),
        ["show", node, place, console] => {
            let hardware = Hardware::Framebuffer(node.into());
            hardware.open(&Through::Linux, Mount::default())?.show(&sign_in(), NOW)?;
            button(place, Path::new(console))
        }
        ["lamp", line, through, address, bit] => {
            let pin = Pin { address: number(address)?, bit: number(bit)? };
            lamp(&line.parse()?, through_of(through)?, pin)
        }
        ["i2c", bus, address, through] => i2c(bus.parse()?, number(address)?, through_of(through)?),
        ["spi", bus, through] => spi(bus.parse()?, through_of(through)?),
        _ => Err(Trouble::Usage),
    }
}

fn wrong(what: impl ToString) -> Trouble {
    Trouble::Wrong(what.to_string())
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, Trouble> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().and_then(|number| number.try_into().ok()).ok_or(Trouble::Usage)
}

fn through_of(text: &str) -> Result<Through, Trouble> {
    match text {
        "linux" => Ok(Through::Linux),
        "raspberry-pi" => Ok(Through::RaspberryPi),
        _ => Err(Trouble::Usage),
    }
}

fn model() -> Result<(), Trouble> {
    let known = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    println!("the kernel: {}", known.trim_end_matches('\0'));
    Through::RaspberryPi.check()?;
    let board = rppal::system::DeviceInfo::new().map_err(wrong)?;
    println!("rppal: {} with a {}", board.model(), board.soc());
    Ok(())
}

fn sign_in() -> Screen {
    Screen::SignIn(SignIn {
        user_code: "WDJB-MJHT".to_owned(),
        verification_uri: "https://www.example.com/device".to_owned(),
        verification_uri_complete: Some("https://www.example.com/device?code=WDJB-MJHT".to_owned()),
        expires: NOW + PATIENCE,
    })
}

/// A framebuffer, read by other means than the hal writes it: it is told what there is.
struct Shown {
    file: File,
    size: (u16, u16),
    /// Bytes from a row to the next, and of a pixel.
    stride: usize,
    depth: usize,
    /// Bytes of it all, of which some may not be seen.
    length: usize,
}

impl Shown {
    fn open(node: &Path, size: (u16, u16), depth: usize) -> Result<Self, Trouble> {
        let file = OpenOptions::new().read(true).write(true).open(node).map_err(wrong)?;
        let name = node.file_name().ok_or(Trouble::Usage)?;
        let read = |attribute: &str| {
            let path = Path::new("/sys/class/graphics").join(name).join(attribute);
            fs::read_to_string(path).map_err(wrong)
        };
        let stride = read("stride")?.trim().parse().map_err(wrong)?;
        let rows = read("virtual_size")?;
        let rows = rows.trim().split_once(',').ok_or_else(|| wrong(&rows))?.1;
        let length = stride * rows.parse::<usize>().map_err(wrong)?;
        Ok(Self { file, size, stride, depth, length })
    }

    fn surface(&self) -> Surface {
        let (width, height) = self.size;
        Surface::Pixels { width, height, ink: Ink::Dark, slow: false }
    }

    /// Covers all of it with what is no picture.
    fn spoil(&self) -> Result<(), Trouble> {
        self.file.write_all_at(&vec![NOISE; self.length], 0).map_err(wrong)
    }

    /// Compares each pixel: ink is black, the rest is white, and what is not seen is as it was. How
    /// many are black.
    fn compare(&self, expected: &Bitmap, what: &str) -> Result<usize, Trouble> {
        let mut memory = vec![0; self.length];
        self.file.read_exact_at(&mut memory, 0).map_err(wrong)?;
        let mut ink = 0;
        let mut wanted = vec![NOISE; self.length];
        for y in 0..self.size.1 {
            for x in 0..self.size.0 {
                let at = usize::from(y) * self.stride + usize::from(x) * self.depth;
                let light = if expected.get(x, y) { 0x00 } else { 0xFF };
                ink += usize::from(light == 0x00);
                wanted[at..at + self.depth].fill(light);
            }
        }
        match memory.iter().zip(&wanted).position(|(found, wanted)| found != wanted) {
            None => Ok(ink),
            Some(at) => {
                let (y, x) = (at / self.stride, at % self.stride / self.depth);
                Err(wrong(format!("{what}: {:02x} at {x}, {y}", memory[at])))
            }
        }
    }

    /// Ink all over: what has a light is black when it shows nothing.
    fn blank(&self) -> Bitmap {
        let mut black = Bitmap::new(self.size.0, self.size.1);
        black.fill(black.area(), true);
        black
    }

    fn expected(&self, screen: &Screen, now: Duration) -> Result<Bitmap, Trouble> {
        let frame = layout(screen, self.surface(), 0, now);
        frame.bitmap().ok_or_else(|| wrong("no picture"))
    }
}

fn framebuffer(node: &Path, size: (u16, u16), depth: usize) -> Result<(), Trouble> {
    let hardware = Hardware::Framebuffer(node.to_owned());
    let mut panel = hardware.open(&Through::Linux, Mount::default())?;
    let shown = Shown::open(node, size, depth)?;
    let mut inks = Vec::new();
    let screens = samples(NOW);
    shown.spoil()?;
    for (name, screen) in &screens {
        panel.show(screen, NOW)?;
        inks.push(shown.compare(&shown.expected(screen, NOW)?, name)?);
    }
    panel.clear()?;
    shown.compare(&shown.blank(), "cleared")?;
    let (least, most) = (inks.iter().min().copied(), inks.iter().max().copied());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    if least < 100 {
        return Err(wrong("an empty screen"));
    }

    // The same by the panel's own thread.
    shown.spoil()?;
    let (drawn, told) = channel();
    let open = move || {
        let panel = hardware.open(&Through::Linux, Mount::default())?;
        Ok(Box::new(Told { panel, drawn: drawn.clone() }) as Box<dyn Panel>)
    };
    let thread = PanelThread::spawn("front", open, clock::boot, |_| ()).map_err(wrong)?;
    thread.show(Screen::NoNetwork);
    told.recv_timeout(PATIENCE).map_err(wrong)?.map_err(wrong)?;
    shown.compare(&shown.expected(&Screen::NoNetwork, NOW)?, "by its thread")?;
    if !thread.stop(PATIENCE) {
        return Err(wrong("the thread did not end"));
    }
    shown.compare(&shown.blank(), "after its thread ended")?;
    println!("{} screens of {least} to {most} black pixels, and one by its thread", inks.len());
    let rows = shown.length / shown.stride;
    println!("{} rows of {rows}, {} bytes each", shown.size.1, shown.stride);
    Ok(())
}

/// A panel that tells what came of each screen.
struct Told {
    panel: Box<dyn Panel>,
    drawn: Sender<Result<(), PanelError>>,
}

impl Panel for Told {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let shown = self.panel.show(screen, now);
        // Who has seen enough does not listen any more.
        let _ = self.drawn.send(shown.clone().map(drop));
        shown
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        self.panel.clear()
    }
}

/// KEY_RESTART of `linux/input-event-codes.h`.
const CODE: u16 = 408;

fn plug() -> Result<(VirtualDevice, PathBuf), Trouble> {
    let keys: AttributeSet<KeyCode> = [KeyCode(CODE), KeyCode::KEY_A].into_iter().collect();
    let device = VirtualDevice::builder().map_err(wrong)?.name("a button");
    let device = device.with_keys(&keys).and_then(VirtualDeviceBuilder::build);
    let mut device = device.map_err(wrong)?;
    let mut nodes = device.enumerate_dev_nodes_blocking().map_err(wrong)?;
    let node = nodes.next().ok_or_else(|| wrong("no node"))?.map_err(wrong)?;
    Ok((device, node))
}

fn virtual_key() -> Result<(), Trouble> {
    let (mut device, node) = plug()?;
    let mut one = Key::open(&node, Some(CODE))?;
    let mut any = Key::open(&node, None)?;
    let mut button = Button::new();
    let mut presses = Vec::new();
    for (millis, code, value, expected) in [
        (0, CODE, 1, [Some(true); 2]),
        (100, CODE, 2, [None; 2]),
        (200, KeyCode::KEY_A.0, 1, [None, Some(true)]),
        (300, KeyCode::KEY_A.0, 0, [None, Some(false)]),
        (400, CODE, 0, [Some(false); 2]),
    ] {
        let event = InputEvent::new(evdev::EventType::KEY.0, code, value);
        device.emit(&[event]).map_err(wrong)?;
        let edges = [edge(&mut one)?, edge(&mut any)?];
        if edges != expected {
            return Err(wrong(format!("{edges:?} after {value} of key {code}")));
        }
        let now = Duration::from_millis(millis);
        presses.extend(edges[0].and_then(|is_down| button.edge(is_down, now)));
    }
    if presses != [Press::Short] {
        return Err(wrong(format!("{presses:?}")));
    }
    println!("down, up: a short press; repetition and another key are none");

    // Unplugged and plugged in again, under its thread.
    let (told, heard) = channel();
    let place = node.clone();
    let report = move |error: Option<&PanelError>| {
        let _ = told.send(error.cloned());
    };
    let open = move || Ok(Box::new(Key::open(&place, Some(CODE))?) as Box<dyn Contact>);
    let _thread = ButtonThread::spawn("front", open, clock::boot, |_| (), report).map_err(wrong)?;
    drop(device);
    let gone = one.take().err().ok_or_else(|| wrong("a key that is gone does not fail"))?;
    let Some(told) = heard.recv_timeout(PATIENCE).map_err(wrong)? else {
        return Err(wrong("its thread does not notice"));
    };
    let (_device, again) = plug()?;
    if again != node {
        return Err(wrong(format!("{} is {} now", node.display(), again.display())));
    }
    if let Some(error) = heard.recv_timeout(PATIENCE).map_err(wrong)? {
        return Err(wrong(error));
    }
    println!("unplugged: {gone}; {told}; and found again");
    Ok(())
}

/// What there is to be read after one report. A key has at most one edge in it.
fn edge(key: &mut Key) -> Result<Option<bool>, Trouble> {
    let mut edge = None;
    // Its event, its end, and nothing.
    for _ in 0..3 {
        edge = key.take()?.or(edge);
    }
    Ok(edge)
}

fn button(place: &str, console: &Path) -> Result<(), Trouble> {
    let mut asked = OpenOptions::new().write(true).open(console).map_err(wrong)?;
    let request = format!("press {place}\n");
    let line = place.parse::<LineName>();
    let node = PathBuf::from(place);
    let open = move || {
        let contact = match &line {
            Ok(line) if !node.is_absolute() => Through::Linux.contact(line, false)?,
            _ => Box::new(Key::open(&node, None)?),
        };
        // Now that somebody listens.
        let asked = asked.write_all(request.as_bytes());
        asked.map_err(|error| PanelError::new(error.to_string()))?;
        Ok(contact)
    };
    let (told, heard) = channel();
    let failed = told.clone();
    let press = move |press| {
        let _ = told.send(Ok(press));
    };
    let report = move |error: Option<&PanelError>| {
        let _ = error.map(|error| failed.send(Err(error.clone())));
    };
    let _thread = ButtonThread::spawn("front", open, clock::boot, press, report).map_err(wrong)?;
    let press = heard.recv_timeout(PATIENCE).map_err(wrong)??;
    if press != Press::Short {
        return Err(wrong(format!("{press:?}")));
    }
    println!("a short press");
    Ok(())
}

/// Where the level of a line can be read in the memory of the board.
struct Pin {
    address: u64,
    bit: u8,
}

impl Pin {
    /// By another program, which reads the register.
    fn is_high(&self) -> Result<bool, Trouble> {
        let address = format!("{:#x}", self.address);
        let read = Command::new("devmem").args([&address, "32"]).output().map_err(wrong)?;
        let text = String::from_utf8_lossy(&read.stdout);
        let register: u64 = number(text.trim()).map_err(|_| wrong(format!("devmem: {text}")))?;
        Ok(register >> self.bit & 1 == 1)
    }
}

fn lamp(line: &LineName, through: Through, pin: Pin) -> Result<(), Trouble> {
    for high in [true, false] {
        let opened = through.output(line, high)?;
        if pin.is_high()? != high {
            return Err(wrong(format!("opened as {high}, and is not")));
        }
        drop(opened);
    }
    let mut lamp = Lamp::new(through.output(line, false)?);
    let screen = sign_in();
    let (mut at, mut levels) = (Duration::ZERO, String::new());
    while levels.len() < 8 {
        let after = lamp.show(&screen, at)?;
        let high = pin.is_high()?;
        if high != (light(&screen, at).0 == Light::On) {
            return Err(wrong(format!("{high} after {at:?}: {levels}")));
        }
        levels.push(if high { '#' } else { '.' });
        at += after.ok_or_else(|| wrong("no change is told"))?;
    }
    lamp.show(&Screen::Saving, at)?;
    let on = pin.is_high()?;
    lamp.clear()?;
    if (on, pin.is_high()?) != (true, false) {
        return Err(wrong("not on while saving, or not off when cleared"));
    }
    println!("{line}: {levels} in its register");
    Ok(())
}

fn i2c(bus: BusName, address: u8, through: Through) -> Result<(), Trouble> {
    let told = |what: &str, done: Result<(), PanelError>| match done {
        Ok(()) => println!("{what}: ok"),
        Err(sentence) => println!("{what}: {sentence}"),
    };
    let mut opened = through.i2c(bus)?;
    let lcd = Hardware::Hd44780 { bus, address: 0x27, columns: 16, rows: 2 };
    let oled = Hardware::Oled { bus, address: 0x3C, controller: Controller::Ssd1306, height: 64 };
    for (name, hardware) in [("LCD", lcd), ("OLED", oled)] {
        let mut panel = hardware.open(&through, Mount::default())?;
        told(name, panel.show(&Screen::NoNetwork, NOW).map(drop));
    }
    Ok(opened.write(address, &[0]).map_err(PanelError::of_bus)?)
}

fn spi(bus: BusName, through: Through) -> Result<(), Trouble> {
    let mut opened = through.spi(bus, 1_000_000)?;
    opened.write(&[0x00; 64]).map_err(PanelError::of_bus)?;
    println!("64 bytes written");
    Ok(())
}

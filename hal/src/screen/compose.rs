//! Layout on a panel of pixels: where each line stands, in which size, and with which QR code.

use std::time::Duration;

use super::faces::{Face, printable, verbatim};
use super::fit::{Fit, fits};
use super::layout::{Frame, Place, Placed, Style, TimeLeft};
use super::picture::{Ink, Picture, Spot, Symbol};
use super::text::{break_address, break_code, break_sentence, code, short_address};
use super::words::{SHORT, Words, words};
use super::{Area, Language, Qr, Screen, SignIn};

/// A panel of pixels, and whom it is for.
#[derive(Clone, Copy)]
pub(super) struct Sheet {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) ink: Ink,
    /// Whether a new picture takes seconds.
    pub(super) slow: bool,
    pub(super) language: Language,
}

/// Columns that the body of a text has at the least, where there are faces small enough.
const COLUMNS: usize = 20;
/// The same beside a QR code.
const NARROW: usize = 16;
/// Columns without which no address is worth showing beside a QR code.
const NARROWEST: usize = 10;
/// Longest user code that is shown, in columns.
const LONGEST_CODE: usize = 64;
/// The most lines that a code is broken into.
const CODE_LINES: usize = 4;
/// Pixels down below which there is no room for sentences.
const LOW: u16 = 48;
/// Pixels between a QR code and text.
const GAP: u16 = 2;
/// How long a page with a part of the address stays, and one with the time.
const STAY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(2));
/// How long any page stays on a slow panel.
const SLOW_STAY: Duration = Duration::from_secs(30);

impl Sheet {
    pub(super) fn lay_out(
        self,
        known: Option<Placed>,
        screen: &Screen,
        page: usize,
        now: Duration,
    ) -> Frame {
        if let Screen::SignIn(sign_in) = screen {
            return self.sign_in(known, sign_in, page, now);
        }
        let support =
            if let Screen::Fault(fault) = screen { fault.support.url.as_deref() } else { None };
        let words = words(screen, self.language);
        let framed = *screen == Screen::Test;
        let mut area = self.inside();
        if framed {
            area = Area {
                x: area.x + 3,
                y: area.y + 3,
                width: area.width - 6,
                height: area.height - 6,
            };
        }
        let beside = support.and_then(|url| self.words_with_qr(known, &words, url));
        let (qr, symbol, spots) = beside.unwrap_or_else(|| {
            let spots = self.long(&words, area).unwrap_or_else(|| self.short(&words, area));
            (None, None, spots)
        });
        let frame = self.frame(spots, qr, symbol);
        Frame { picture: frame.picture.map(|picture| Picture { framed, ..picture }), ..frame }
    }

    fn frame(self, spots: Vec<Spot>, qr: Option<Placed>, symbol: Option<Symbol>) -> Frame {
        let lines = spots.iter().map(|spot| spot.line.clone()).collect();
        let Self { width, height, ink, .. } = self;
        let picture = Picture { width, height, ink, spots, symbol, framed: false };
        Frame { qr, picture: Some(picture), ..Frame::of(lines) }
    }

    /// The panel without its margin; the smallest have none.
    fn inside(self) -> Area {
        let edge = self.width.min(self.height);
        let margin = if edge < 100 { 0 } else { edge / 40 };
        Area {
            x: margin,
            y: margin,
            width: self.width - 2 * margin,
            height: self.height - 2 * margin,
        }
    }

    /// The smallest face that is used here.
    fn least(self) -> Face {
        if self.width.min(self.height) < 100 { Face::TINY } else { Face::SMALL }
    }

    /// Title and whole sentences, as large as they fit into `area`.
    fn long(self, words: &Words, area: Area) -> Option<Vec<Spot>> {
        // On the lowest panels a few large words say it better.
        if self.height < LOW {
            return None;
        }
        let title = self.title_face(&words.title, area);
        let largest = Face::fitting(COLUMNS, 4, area.width, area.height);
        let largest = largest.min(title).max(self.least());
        let named = printable(&words.title, self.language);
        if named.chars().count() > title.columns(area.width) {
            return None;
        }
        largest.down_to(self.least()).find_map(|face| {
            let columns = face.columns(area.width);
            let sentences = words.long.iter().map(|text| printable(text, self.language));
            let lines = sentences.flat_map(|text| break_sentence(&text, columns));
            let mut stack = vec![(title, Style::Title, named.clone())];
            stack.extend(lines.map(|line| (face, Style::Plain, line)));
            let height: u16 = stack.iter().map(|(face, ..)| face.height()).sum();
            let spare = area.height.checked_sub(height)?;
            let mut y = area.y;
            let after_title = (spare / 2).min(face.height() / 2);
            let mut spots = Vec::new();
            for (at, (face, style, text)) in stack.into_iter().enumerate() {
                spots.push(Spot::new(area.x, y, face, style, &text));
                y += face.height() + if at == 0 { after_title } else { 0 };
            }
            Some(spots)
        })
    }

    /// Title and a few words.
    fn short(self, words: &Words, area: Area) -> Vec<Spot> {
        let face = Face::fitting(SHORT, 2, area.width, area.height);
        let line = |y, style, text: &str| {
            let text = printable(text, self.language);
            let shown: String = text.chars().take(face.columns(area.width)).collect();
            Spot::new(area.x, area.y + y, face, style, &shown)
        };
        vec![line(0, Style::Title, &words.title), line(face.height(), Style::Plain, &words.short)]
    }

    /// A face for a title, the same for all that are not too long.
    fn title_face(self, title: &str, area: Area) -> Face {
        let columns = printable(title, self.language).chars().count().max(SHORT);
        Face::fitting(columns, 3, area.width, area.height).max(self.least())
    }

    /// Words with a QR code of whom to ask, if both fit.
    fn words_with_qr(
        self,
        known: Option<Placed>,
        words: &Words,
        url: &str,
    ) -> Option<(Option<Placed>, Option<Symbol>, Vec<Spot>)> {
        let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let modules = Qr::size_of(&url)?;
        let mut ways = self.ways(modules).filter(|way| way.fit.scale <= 4);
        ways.find_map(|way| {
            // Broken words beside a code help nobody.
            let wide = self.least().columns(way.text.width) >= NARROW;
            let spots = self.long(words, way.text).filter(|_| wide)?;
            let (placed, symbol) = way.place(known.clone(), &url)?;
            Some((Some(placed), Some(symbol), spots))
        })
    }

    /// Every way to show a symbol with text, the best first.
    fn ways(self, modules: usize) -> impl Iterator<Item = Way> {
        let inside = self.inside();
        // The quiet zone may reach over the margin: it is as empty.
        let (long, low) = (self.width, self.height);
        let is_wide = u32::from(long) * 5 > u32::from(low) * 6;
        let share = |length: u16, parts: u32| u16::try_from(u32::from(length) * parts / 100);
        let beside = share(long, 56).unwrap_or(0).min(low);
        let under = share(low, 62).unwrap_or(0).min(long);
        let room = if is_wide { beside } else { under };
        fits(modules, room, long.min(low)).map(move |fit| {
            let Fit { side, .. } = fit;
            if is_wide {
                // Light ink fills the height of a low panel: a wider quiet zone for nothing.
                let field =
                    if low < 100 && self.ink == Ink::Light { low.min(beside) } else { side };
                let field = field.max(side);
                let x = field + GAP.max(inside.x);
                let text = Area { x, width: (inside.x + inside.width).saturating_sub(x), ..inside };
                let field = Area { x: 0, y: (low - field) / 2, width: field, height: field };
                Way { fit, field, text, place: Place::Beside }
            } else {
                let y = side + GAP;
                let text =
                    Area { y, height: (inside.y + inside.height).saturating_sub(y), ..inside };
                let field = Area { x: (long - side) / 2, y: 0, width: side, height: side };
                Way { fit, field, text, place: Place::Under }
            }
        })
    }

    fn sign_in(self, known: Option<Placed>, sign_in: &SignIn, page: usize, now: Duration) -> Frame {
        let time = TimeLeft::at(now, sign_in.expires);
        let texts = Texts {
            title: printable(self.language.text("sign-in.title"), self.language),
            code: verbatim(&code(&sign_in.user_code, LONGEST_CODE)),
            address: short_address(&sign_in.verification_uri),
            time: printable(&time.shown(self.language, self.slow), self.language),
            short_time: if self.slow { String::new() } else { time.clock.clone() },
        };
        let with_qr = |paged| {
            sign_in.qr_addresses().find_map(|uri| {
                let modules = Qr::size_of(uri)?;
                self.ways(modules).find_map(|way| {
                    let stack = self.stack(&texts, way.text, paged, true)?;
                    let (placed, symbol) = way.place(known.clone(), uri)?;
                    Some((Some(placed), Some(symbol), stack))
                })
            })
        };
        let alone = |paged| {
            let stack = self.stack(&texts, self.inside(), paged, false)?;
            Some((None, None, stack))
        };
        // A slow panel turns no pages while there is another way.
        let found = if self.slow {
            with_qr(false).or_else(|| alone(false)).or_else(|| with_qr(true))
        } else {
            with_qr(false).or_else(|| with_qr(true)).or_else(|| alone(false))
        };
        let found = found.or_else(|| alone(true));
        let (qr, symbol, stack) = found.unwrap_or_else(|| (None, None, self.bare(&texts)));
        let page = page % stack.pages;
        let is_time = stack.time_is_a_page && page + 1 == stack.pages;
        let stay = match (self.slow, is_time) {
            (true, _) => SLOW_STAY,
            (false, true) => STAY.1,
            (false, false) => STAY.0,
        };
        let shows_time = is_time || !stack.time_is_a_page;
        let changes_after = if self.slow { time.minute_changes_after } else { time.changes_after };
        Frame {
            redraw_after: changes_after.filter(|_| shows_time),
            pages: stack.pages,
            stay,
            ..self.frame(stack.spots(&texts, page), qr, symbol)
        }
    }

    /// Title, code, address and time in `area`: in large type rather than in small, with a title
    /// rather than without one. `paged`: the address in parts, where it does not fit as a whole.
    fn stack(self, texts: &Texts, area: Area, paged: bool, has_qr: bool) -> Option<Stack> {
        let (columns, columns_at_least) = if has_qr { (NARROW, NARROWEST) } else { (COLUMNS, 1) };
        let largest = Face::fitting(columns, 3, area.width, area.height).max(self.least());
        // A QR code that is there says the address, which may then be small.
        let bodies = largest.down_to(self.least());
        let bodies = bodies.filter(|body| body.columns(area.width) >= columns_at_least);
        let set = |form| Stack::new(texts, area, form);
        if !paged {
            let whole = |body, titled, size| {
                set(Form { body, titled, rows: None, time_is_a_page: false, size })
            };
            let of_size = |size| {
                let mut bodies = bodies.clone();
                bodies.find_map(|body| whole(body, true, size).or_else(|| whole(body, false, size)))
            };
            return of_size(Type::OneLine).or_else(|| of_size(Type::Large));
        }
        let body = bodies.last()?;
        // Two lines hold a name and a path; on the lowest panels one line is all there is. A code
        // in small type is better than none.
        let ways = [(2, false), (1, false), (1, true)];
        let sizes = if has_qr { &[Type::Large][..] } else { &[Type::Large, Type::Any] };
        let mut ways = sizes.iter().flat_map(|size| ways.map(|way| (*size, way)));
        ways.find_map(|(size, (rows, time_is_a_page))| {
            set(Form { body, titled: false, rows: Some(rows), time_is_a_page, size })
        })
    }

    /// Where nothing fits: as much of the code as there is room for.
    fn bare(self, texts: &Texts) -> Stack {
        let area = Area { x: 0, y: 0, width: self.width, height: self.height };
        let face = Face::TINY;
        let code = break_code(&texts.code, face.columns(area.width).max(1));
        let rows = usize::from(area.height / face.height()).max(1);
        let code: Vec<String> = code.into_iter().take(rows).collect();
        Stack {
            area,
            body: face,
            code_face: face,
            code,
            titled: false,
            address: Vec::new(),
            rows: 0,
            pages: 1,
            time_is_a_page: true,
        }
    }
}

/// A QR code's place, and what is left for text.
struct Way {
    fit: Fit,
    field: Area,
    text: Area,
    place: Place,
}

impl Way {
    /// `known` is the symbol of the same screen on the same panel, if it was made before.
    fn place(self, known: Option<Placed>, uri: &str) -> Option<(Placed, Symbol)> {
        let qr = match known {
            Some(placed) => placed.qr,
            None => Qr::of(uri)?,
        };
        let Self { fit: Fit { scale, quiet, .. }, field, place, .. } = self;
        let side = u16::try_from(qr.size()).ok()?.checked_mul(scale)?;
        let inset = |length: u16| length.saturating_sub(side) / 2;
        let corner = (field.x + inset(field.width), field.y + inset(field.height));
        Some((Placed { qr, quiet: quiet.into(), place }, Symbol { field, corner, scale }))
    }
}

/// What a sign-in says.
struct Texts {
    title: String,
    code: String,
    address: String,
    time: String,
    /// The same in fewer columns.
    short_time: String,
}

/// How a code may be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Larger than all else, on one line.
    OneLine,
    /// Larger than all else, on two lines if it must.
    Large,
    Any,
}

/// One way to set a sign-in.
#[derive(Clone, Copy)]
struct Form {
    body: Face,
    titled: bool,
    /// How many lines of the address a page has; all of them if there is no number.
    rows: Option<usize>,
    /// Whether the time shares its place with the address.
    time_is_a_page: bool,
    size: Type,
}

/// A sign-in's lines, one above the other.
struct Stack {
    area: Area,
    body: Face,
    code_face: Face,
    code: Vec<String>,
    titled: bool,
    address: Vec<String>,
    /// How many lines of the address a page has.
    rows: usize,
    pages: usize,
    /// Whether the time shares its place with the address.
    time_is_a_page: bool,
}

impl Stack {
    fn new(texts: &Texts, area: Area, form: Form) -> Option<Self> {
        let Form { body, titled, rows, time_is_a_page, size } = form;
        let address = break_address(&texts.address, body.columns(area.width));
        let rows = rows.unwrap_or(address.len());
        let columns = body.columns(area.width);
        let title_fits = texts.title.chars().count() <= columns;
        let time_fits = texts.time.len().min(texts.short_time.len()) <= columns;
        if titled && !title_fits || !time_fits {
            return None;
        }
        let lines = usize::from(titled) + rows + usize::from(!time_is_a_page);
        let taken = u16::try_from(lines).ok()?.checked_mul(body.height())?;
        let room = area.height.checked_sub(taken)?;
        let (code_face, code) = code_in(&texts.code, body, size, (area.width, room))?;
        let parts = address.len().div_ceil(rows.max(1)).max(1);
        let pages = parts + usize::from(time_is_a_page);
        Some(Self { area, body, code_face, code, titled, address, rows, pages, time_is_a_page })
    }

    fn spots(&self, texts: &Texts, page: usize) -> Vec<Spot> {
        let time = if texts.time.chars().count() <= self.body.columns(self.area.width) {
            &texts.time
        } else {
            &texts.short_time
        };
        let is_time = self.time_is_a_page && page + 1 == self.pages;
        let mut address: Vec<(Style, &str)> = if is_time {
            vec![(Style::Plain, time)]
        } else {
            let part = self.address.iter().skip(page * self.rows).take(self.rows);
            part.map(|line| (Style::Address, line.as_str())).collect()
        };
        address.resize(self.rows, (Style::Plain, ""));
        let title = self.titled.then_some((self.body, Style::Title, texts.title.as_str()));
        let code = self.code.iter().map(|line| (self.code_face, Style::Code, line.as_str()));
        let address = address.into_iter().map(|(style, line)| (self.body, style, line));
        let last = (!self.time_is_a_page).then_some((self.body, Style::Plain, time.as_str()));
        let groups: [Vec<_>; 4] = [
            title.into_iter().collect(),
            code.collect(),
            address.collect(),
            last.into_iter().collect(),
        ];
        let groups: Vec<_> = groups.into_iter().filter(|group| !group.is_empty()).collect();
        let height: u16 = groups.iter().flatten().map(|(face, ..)| face.height()).sum();
        let spare = self.area.height.saturating_sub(height);
        let between = u16::try_from(groups.len()).unwrap_or(1).saturating_add(1);
        let gap = (spare / between).min(self.body.height() / 2);
        let mut y = self.area.y + (spare - gap * (between - 2).min(spare)) / 2;
        let mut spots = Vec::new();
        for group in groups {
            for (face, style, text) in group {
                let columns = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
                let width = columns.saturating_mul(face.width());
                let x = self.area.x + self.area.width.saturating_sub(width) / 2;
                if !text.is_empty() {
                    spots.push(Spot::new(x, y, face, style, text));
                }
                y += face.height();
            }
            y += gap;
        }
        spots
    }
}

/// A code as large as it fits into `width` and `height` pixels, on one line where there is a
/// choice. `None` if it fits only in type too small for what is read out to somebody.
fn code_in(code: &str, body: Face, size: Type, room: (u16, u16)) -> Option<(Face, Vec<String>)> {
    let (width, height) = room;
    let largest = body.larger(4).max(Face::BOLD);
    let wanted = body.larger(2).max(Face::BOLD);
    let broken = |face: Face, most: usize| {
        let columns = face.columns(width);
        let lines = break_code(code, columns.max(1));
        let taken = u16::try_from(lines.len()).ok()?.checked_mul(face.height())?;
        (columns > 0 && lines.len() <= most && taken <= height).then_some((face, lines))
    };
    let most = if size == Type::OneLine { 1 } else { 2 };
    let mut large = 1..=most;
    let found = large
        .find_map(|most| largest.down_to(wanted.min(largest)).find_map(|face| broken(face, most)));
    // A long code in a narrow place: whatever its width allows, but never for want of height alone.
    let may_be_small = match size {
        Type::OneLine => false,
        Type::Large => break_code(code, wanted.columns(width).max(1)).len() > 2,
        Type::Any => true,
    };
    found.or_else(|| {
        let mut smaller = wanted.down_to(body.min(wanted)).filter(|_| may_be_small);
        smaller.find_map(|face| broken(face, CODE_LINES))
    })
}

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiDevice;
use signpost_hal::panel::{Glass, PanelError};
use signpost_hal::screen::{Area, Bitmap};

/// A PCD8544 ("Nokia 5110"), 84 by 48; commands are those of its data sheet (Philips, 1999).
pub(crate) struct Pcd8544<S, O, D> {
    pub(crate) bus: S,
    pub(crate) data: O,
    pub(crate) reset: O,
    pub(crate) delay: D,
}

impl<S: SpiDevice, O: OutputPin, D: DelayNs> Pcd8544<S, O, D> {
    fn send(&mut self, is_data: bool, bytes: &[u8]) -> Result<(), PanelError> {
        self.data.set_state(is_data.into()).map_err(PanelError::of_bus)?;
        self.bus.write(bytes).map_err(PanelError::of_bus)
    }
}

impl<S: SpiDevice + Send, O: OutputPin + Send, D: DelayNs + Send> Glass for Pcd8544<S, O, D> {
    fn size(&self) -> (u16, u16) {
        (84, 48)
    }

    fn grid(&self) -> (u16, u16) {
        (1, 8)
    }

    fn start(&mut self) -> Result<(), PanelError> {
        self.reset.set_low().map_err(PanelError::of_bus)?;
        self.delay.delay_ms(1);
        self.reset.set_high().map_err(PanelError::of_bus)?;
        // The extended instruction set for bias and contrast, then the basic one, display on.
        self.send(false, &[0x21, 0x14, 0xBC, 0x20, 0x0C])
    }

    fn draw(&mut self, picture: &Bitmap, area: Area) -> Result<(), PanelError> {
        for y in (area.y..area.y + area.height).step_by(8) {
            self.send(false, &[0x40 | (y / 8) as u8, 0x80 | area.x as u8])?;
            let columns = area.x..area.x + area.width;
            self.send(true, &columns.map(|x| picture.page(x, y)).collect::<Vec<u8>>())?;
        }
        Ok(())
    }
}

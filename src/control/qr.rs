//! The short link as a QR code, drawn as SVG or PNG. Black on white with a quiet zone whatever the page around it looks
//! like: that is what phones read. Never holds anything but the short link.

use qrcodegen::{QrCode, QrCodeEcc};

use super::fields::FieldFault;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// How much of the code may be dirty or torn.
    Level {
        /// About 7 %.
        Low = "L",
        /// About 15 %, the default.
        Medium = "M",
        /// About 25 %.
        Quartile = "Q",
        /// About 30 %.
        High = "H",
    }
}

/// The parameters of a drawing.
pub const PARAMETERS: [&str; 3] = ["size", "margin", "level"];
/// Pixels of a side.
pub const SIZES: std::ops::RangeInclusive<usize> = 64..=2_048;
/// Modules of the quiet zone; the standard asks for four.
pub const MARGINS: std::ops::RangeInclusive<usize> = 0..=16;

/// How a code is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drawing {
    /// Pixels of a side.
    pub size: usize,
    /// Modules of the quiet zone.
    pub margin: usize,
    /// How much of it may be dirty.
    pub level: Level,
}

impl Default for Drawing {
    fn default() -> Self {
        Drawing { size: 512, margin: 4, level: Level::Medium }
    }
}

/// A code and how it is drawn.
pub struct Drawn {
    code: QrCode,
    drawing: Drawing,
}

/// A code as an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// The drawing is too small for the code, or the text too long for any.
    #[error("the code cannot be drawn")]
    Unfit(FieldFault),
    /// The image could not be written.
    #[error("the code's image could not be written: {0}")]
    Png(#[from] png::EncodingError),
}

impl Drawn {
    /// Draws `text`.
    ///
    /// # Errors
    /// [`QrError::Unfit`] when the text is too long or the drawing too small for it.
    pub fn new(text: &str, drawing: Drawing) -> Result<Self, QrError> {
        let level = match drawing.level {
            Level::Low => QrCodeEcc::Low,
            Level::Medium => QrCodeEcc::Medium,
            Level::Quartile => QrCodeEcc::Quartile,
            Level::High => QrCodeEcc::High,
        };
        let code = QrCode::encode_text(text, level).map_err(|_| {
            let problem = "the short link is too long for a QR code of this level: use a lower one";
            QrError::Unfit(FieldFault::new("level", drawing.level.as_str(), "too_long", problem))
        })?;
        let drawn = Drawn { code, drawing };
        let needed = drawn.modules();
        if needed > drawing.size {
            let problem = format!("this code with its margin needs {needed} pixels at least: use a larger size");
            return Err(QrError::Unfit(FieldFault::new("size", &drawing.size.to_string(), "out_of_range", problem)));
        }
        Ok(drawn)
    }

    /// Modules of a side, the quiet zone included.
    fn modules(&self) -> usize {
        self.inner() + 2 * self.drawing.margin
    }

    fn inner(&self) -> usize {
        usize::try_from(self.code.size()).unwrap_or_default()
    }

    /// Whether the module at a place, the quiet zone included, is dark.
    fn dark(&self, x: usize, y: usize) -> bool {
        let inside = |place: usize| i32::try_from(place).ok()?.checked_sub(i32::try_from(self.drawing.margin).ok()?);
        // Outside of the code all modules are light.
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if self.code.get_module(x, y))
    }

    /// One path, scaled by the browser.
    pub fn svg(&self) -> String {
        let side = self.modules();
        let size = self.drawing.size;
        let mut path = String::new();
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let run = (x..side).take_while(|x| self.dark(*x, y)).count();
                if run > 0 {
                    path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
                }
                x += run.max(1);
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" viewBox=\"0 0 {side} {side}\" \
             shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/>\
             <path fill=\"#000\" d=\"{path}\"/></svg>\n"
        )
    }

    /// One bit a pixel; every module the same whole number of pixels, what is left over is margin.
    ///
    /// # Errors
    /// [`QrError::Png`], which writing to memory does not know.
    pub fn png(&self) -> Result<Vec<u8>, QrError> {
        let (size, side) = (self.drawing.size, self.modules());
        let scale = size / side;
        let before = (size - scale * side) / 2;
        let row_bytes = size.div_ceil(8);
        let mut pixels = vec![0xff_u8; row_bytes * size];
        let module = |pixel: usize| pixel.checked_sub(before).map(|pixel| pixel / scale).filter(|place| *place < side);
        for y in 0..size {
            let Some(row) = module(y) else { continue };
            for x in 0..size {
                if module(x).is_some_and(|column| self.dark(column, row)) {
                    pixels[y * row_bytes + x / 8] &= !(0x80 >> (x % 8));
                }
            }
        }
        let mut image = Vec::new();
        // At most 2,048.
        let side = u32::try_from(size).unwrap_or_default();
        let mut encoder = png::Encoder::new(&mut image, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "https://go.example.com/k3Xw9QaZ";

    /// What a decoder that shares no code with the encoder reads from grey pixels.
    fn read(side: usize, grey: impl FnMut(usize, usize) -> u8) -> String {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, grey);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code in the image");
        grids[0].decode().unwrap().1
    }

    fn pixels(image: &[u8]) -> (usize, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(image));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.color_type), (info.height, png::ColorType::Grayscale));
        (info.width as usize, pixels)
    }

    #[test]
    fn an_independent_decoder_reads_every_png() {
        for (size, margin, level) in [
            (64, 4, Level::Low),
            (65, 1, Level::Medium),
            (257, 2, Level::Quartile),
            (512, 4, Level::Medium),
            (2048, 16, Level::High),
        ] {
            let image = Drawn::new(TEXT, Drawing { size, margin, level }).unwrap().png().unwrap();
            let (side, grey) = pixels(&image);
            assert_eq!(side, size);
            assert_eq!(read(side, |x, y| grey[y * side + x]), TEXT, "{size} {margin} {level}");
            assert!(grey[..side].iter().all(|pixel| *pixel == 255), "a quiet zone");
        }
    }

    #[test]
    fn an_independent_decoder_reads_the_svg() {
        let svg = Drawn::new(TEXT, Drawing::default()).unwrap().svg();
        assert!(!svg.contains("script") && svg.contains("width=\"512\""));
        let side: usize = svg.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let path = svg.rsplit("d=\"").next().unwrap().split('"').next().unwrap();
        let mut dark = vec![false; side * side];
        for run in path.split('M').skip(1) {
            let (at, rest) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = rest.split('v').next().unwrap().parse().unwrap();
            dark[y * side + x..][..length].fill(true);
        }
        let scale = 5;
        assert_eq!(read(side * scale, |x, y| if dark[y / scale * side + x / scale] { 0 } else { 255 }), TEXT);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let long = format!("https://go.example.com/{}", "a".repeat(64));
        let small = Drawing { size: 64, margin: 16, level: Level::High };
        let Err(QrError::Unfit(fault)) = Drawn::new(&long, small) else { panic!("too small") };
        assert_eq!((&*fault.field, fault.code), ("size", "out_of_range"));
        assert!(Drawn::new(&long, Drawing { size: 128, ..small }).is_ok());
    }
}

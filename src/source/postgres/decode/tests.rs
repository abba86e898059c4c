use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};

use super::*;

/// A stream of rows as the server sends it.
fn stream(rows: &[&[Option<&[u8]>]], is_complete: bool) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend_from_slice(&(row.len() as i16).to_be_bytes());
        for field in *row {
            bytes.extend_from_slice(&field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            bytes.extend_from_slice(field.unwrap_or_default());
        }
    }
    if is_complete {
        bytes.extend_from_slice(&(-1i16).to_be_bytes());
    }
    bytes
}

fn decoder(columns: &[(DataType, Codec)], limit: Option<u64>) -> Decoder {
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, (data_type, _))| Field::new(format!("c{index}"), data_type.clone(), true))
        .collect();
    let codecs: Vec<_> = columns.iter().map(|(_, codec)| codec.clone()).collect();
    Decoder::new(Arc::new(Schema::new(fields)), &codecs, limit)
}

/// Feeds `bytes` in pieces of `size` and gives everything decoded.
fn decode(decoder: &mut Decoder, bytes: &[u8], size: usize) -> Result<Vec<Decoded>> {
    let mut pages = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece)?;
        while let Some(page) = decoder.page()? {
            pages.push(page);
        }
    }
    while let Some(page) = decoder.finish()? {
        pages.push(page);
    }
    pages.extend(decoder.rest()?);
    Ok(pages)
}

#[test]
fn pieces_of_any_size_give_the_same_rows() {
    let columns = [(DataType::Int32, Codec::Int32), (DataType::Utf8, Codec::Text)];
    let one = 7i32.to_be_bytes();
    let rows: [&[Option<&[u8]>]; 3] = [
        &[Some(&one), Some("grün".as_bytes())],
        &[None, Some(b"")],
        &[Some(&[0xff, 0xff, 0xff, 0xff]), None],
    ];
    let bytes = stream(&rows, true);
    for size in 1..=bytes.len() {
        let pages = decode(&mut decoder(&columns, None), &bytes, size).unwrap();
        assert_eq!(pages.len(), 1);
        let rows = &pages[0].rows;
        assert_eq!(
            rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
            [Some(7), None, Some(-1)]
        );
        let texts: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("grün"), Some(""), None]);
    }
}

#[test]
fn a_stream_without_its_end_is_an_error() {
    let columns = [(DataType::Int32, Codec::Int32)];
    let one = 1i32.to_be_bytes();
    let rows: [&[Option<&[u8]>]; 1] = [&[Some(&one)]];
    let complete = stream(&rows, true);
    for len in 0..complete.len() {
        assert!(decode(&mut decoder(&columns, None), &complete[..len], 100).is_err(), "{len} bytes");
    }
    let mut longer = complete;
    longer.push(0);
    assert!(decode(&mut decoder(&columns, None), &longer, 100).is_err());
    assert!(
        decode(&mut decoder(&columns, None), b"PGCOPY\n\xff\n\n\0\0\0\0\0\0\0\0\0\xff\xff", 100).is_err()
    );
    let two: [&[Option<&[u8]>]; 1] = [&[Some(&one), Some(&one)]];
    assert!(decode(&mut decoder(&columns, None), &stream(&two, true), 100).is_err(), "a column too many");
    let short: [&[Option<&[u8]>]; 1] = [&[Some(&[1, 2, 3])]];
    assert!(decode(&mut decoder(&columns, None), &stream(&short, true), 100).is_err(), "three bytes");
}

#[test]
fn pages_are_bounded_and_complete() {
    let columns = [(DataType::Int64, Codec::Int64)];
    let values: Vec<_> = (0..50_000i64).map(i64::to_be_bytes).collect();
    let fields: Vec<_> = values.iter().map(|value| [Some(value.as_slice())]).collect();
    let rows: Vec<&[Option<&[u8]>]> = fields.iter().map(|row| row.as_slice()).collect();
    let bytes = stream(&rows, true);
    for (limit, expected, capped) in [
        (None, 50_000, false),
        (Some(50_000), 50_000, false),
        (Some(49_999), 49_999, true),
        (Some(0), 0, true),
    ] {
        let mut decoder = decoder(&columns, limit);
        let pages = decode(&mut decoder, &bytes, 8192).unwrap();
        assert!(pages.iter().all(|page| page.rows.num_rows() <= MAX_PAGE_ROWS));
        let mut next = 0;
        for page in &pages {
            for value in page.rows.column(0).as_primitive::<Int64Type>().values() {
                assert_eq!(*value, next);
                next += 1;
            }
        }
        assert_eq!((next, decoder.is_capped()), (expected, capped));
    }
}

#[test]
fn what_does_not_fit_is_null_counted_and_shown() {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
    let columns = [
        (DataType::Int16, Codec::Int16),
        (DataType::Date32, Codec::Date),
        (DataType::Utf8, Codec::Text),
        (list, Codec::List(Box::new(Codec::Int32))),
    ];
    let large = 40_000i32.to_be_bytes();
    let infinity = i32::MAX.to_be_bytes();
    let two_dimensions: Vec<u8> =
        [2i32, 0, 23, 1, 1, 1, 1, 4, 9].iter().flat_map(|word| word.to_be_bytes()).collect();
    let flat: Vec<u8> = [1i32, 1, 23, 2, 1, 4, 9, -1].iter().flat_map(|word| word.to_be_bytes()).collect();
    let rows: [&[Option<&[u8]>]; 2] = [
        &[Some(&large), Some(&infinity), Some(b"caf\xe9"), Some(&two_dimensions)],
        &[Some(&[0, 5]), Some(&[0; 4]), Some(b"ok"), Some(&flat)],
    ];
    let page = decode(&mut decoder(&columns, None), &stream(&rows, true), 50).unwrap().remove(0);
    let samples: Vec<_> = page.misfits.iter().map(|misfit| (misfit.count, misfit.sample.as_str())).collect();
    assert_eq!(
        samples,
        [(1, "40000"), (1, "infinity"), (1, "caf\u{fffd}"), (1, "an array of more than one dimension")]
    );
    for column in page.rows.columns() {
        assert_eq!((column.is_null(0), column.null_count()), (true, 1));
    }
    let elements = page.rows.column(3).as_list::<i32>().value(1);
    assert_eq!(elements.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(9), None]);
    assert_eq!(page.rows.column(1).as_primitive::<arrow::datatypes::Date32Type>().value(1), 10_957);
}

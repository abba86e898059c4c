//! The catalog of a large company.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tributary::model::{FieldType, ObjectField, Release, ReleaseObject};

use crate::support::company::{Company, run};
use crate::support::tools::{QUESTIONS, Size, about};

const OBJECTS: usize = 300;
const FIELDS: usize = 200;

fn release() -> Release {
    let field = |place: usize| ObjectField {
        api: format!("Field{place}"),
        name: format!("field_{place}"),
        column: format!("field_{place}"),
        label: format!("Field {place}"),
        data_type: if place.is_multiple_of(2) { FieldType::Int64 } else { FieldType::Decimal(18, 2) },
        native_type: "number".into(),
        note: None,
        selected: true,
        key_position: (place == 0).then_some(0),
        is_name: false,
        volatile: false,
    };
    let object = |place: usize| ReleaseObject {
        object_id: format!("object-{place}"),
        connection: "wide".into(),
        name: format!("object_{place}"),
        version: 1,
        rows: 1_000,
        fields: (0..FIELDS).map(field).collect(),
        overrides: None,
    };
    Release { id: 2, published_at: 0, cause: "sync 2".into(), objects: (0..OBJECTS).map(object).collect() }
}

/// The statements that tools begin with. The bound is far above what a build with optimisation takes, and far below
/// what a plan takes that compares everything with everything.
#[tokio::test(flavor = "multi_thread")]
async fn what_tools_begin_with_takes_no_time() {
    let company = Company::new();
    company.engine.publish(Arc::new(release()));
    let session = company.admin();
    for (name, question, size) in QUESTIONS {
        let sql = about(question, "wide", "object_7");
        let rows = match size {
            Size::One => 1,
            Size::Fields => FIELDS,
            Size::Objects => OBJECTS,
            Size::All => OBJECTS * FIELDS,
        };
        for time in ["first", "again"] {
            let started = Instant::now();
            let answer = run(&session, &sql).await.unwrap();
            let took = started.elapsed();
            eprintln!("{name}, {time}: {took:?}");
            assert_eq!(answer.rows.len(), rows, "{sql}");
            assert!(took < Duration::from_secs(30), "{took:?}\n{sql}");
        }
    }
}

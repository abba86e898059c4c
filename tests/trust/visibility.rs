//! A connection that is logged in as somebody else: compared first, and nothing removed before that is accepted.

use tributary::demo::hubspot;

use super::{count, linked_to, newest, reasons, says};
use crate::conformance::vendor::Vendor;

#[tokio::test(flavor = "multi_thread")]
async fn another_login_is_compared_and_removes_nothing_before_it_is_accepted() {
    let vendor = Vendor::start("hubspot", 7).await;
    let Vendor::HubSpot(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,dealname,amount')"]);
    server.rows(&["CALL add_object('crm', 'company')", "CALL sync('crm', 'full')"]);
    let (all, live) = (count(&server), running.control.live("deals"));
    // The same secret again is the same login.
    server.rows(&[&format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN)]);
    says(&server.error("CALL accept_visibility('crm')"), &["no login of `crm` waits to be accepted"]);

    let scopes = ["crm.objects.deals.read", "crm.schemas.deals.read", "oauth"];
    let other = running.control.private_app(&scopes);
    let out = server.psql(&[&format!("CALL set_secret('crm', 'token', '{other}')")]);
    assert!(out.status.success());
    let told = String::from_utf8(out.stderr).unwrap();
    says(&told, &["may see other records than the one before", "check_visibility('crm')"]);
    assert!(running.control.archive_property("deals", "dealstage"));
    running.control.add_property("deals", "margin", "number");
    for deal in &live[..3] {
        running.control.purge("deals", deal.id);
    }
    running.control.archive("deals", live[3].id);
    let new = running.control.create("deals", &[("dealname", "new"), ("amount", "1")]).unwrap();
    vendor.settle();
    let found = server.rows(&["CALL check_visibility('crm')"]);
    says(&found, &["object|company||lost", "field|deal|dealstage|lost", "field|deal|margin|gained"]);
    let keys = "SELECT change, count(*) FROM tributary.visibility WHERE kind = 'key' GROUP BY 1 ORDER BY 1";
    assert_eq!(server.rows(&[keys]), "gained|1\nlost|4");
    let gained = "SELECT name FROM tributary.visibility WHERE kind = 'key' AND change = 'gained'";
    assert_eq!(server.rows(&[gained]), format!("{{\"id\":\"{new}\"}}"));

    // Whatever is read, no row goes.
    for mode in ["diff", "full"] {
        let synced = server.rows(&[&format!("CALL sync('crm', '{mode}', object => 'deal')")]);
        says(&synced, &["|succeeded with warnings|"]);
        assert_eq!(count(&server), all + 1, "{mode}");
        let warned = server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
        says(&warned, &["no row is removed", "accept_visibility('crm')"]);
    }
    let accepted = server.rows(&["CALL accept_visibility('crm', reason => 'fewer rights on purpose')"]);
    says(&accepted, &["crm|"]);
    let audit =
        "SELECT arguments FROM tributary.audit WHERE verb = 'accept_visibility' ORDER BY at DESC LIMIT 1";
    says(&server.rows(&[audit]), &["fewer rights on purpose"]);
    // The next diff reads everything, because rows were kept.
    let synced = server.rows(&["CALL sync('crm', 'diff', object => 'deal')"]);
    says(&synced, &["|full|succeeded"]);
    assert_eq!(newest(&server).1[2], 4);
    assert_eq!(reasons(&server), "deleted|1\nnot visible to this login|3");
    assert_eq!(count(&server), vendor.truth().len() as u64);
}

-- ?1 at, ?2 reason, ?3 events, ?4 roll_ups
insert into audit_acceptances (at, reason, events, roll_ups)
values (?1, ?2, ?3, ?4)

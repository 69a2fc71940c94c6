-- ?1 and so on: the columns
insert into audit_acceptances (id, at, reason, events, roll_ups)
values (?1, ?2, ?3, ?4, ?5)
on conflict (id) do update
set at = excluded.at,
  reason = excluded.reason,
  events = excluded.events,
  roll_ups = excluded.roll_ups

-- Notes every row that is changed from now on. An upsert and no `or replace`: what a statement says of conflicts would hold in its triggers.

create trigger moving_users_insert after insert on users
begin
  insert into moving_notes (part, a, b)
  values (1, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_users_update after update on users
begin
  insert into moving_notes (part, a, b)
  values (1, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (1, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_users_delete after delete on users
begin
  insert into moving_notes (part, a, b)
  values (1, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_links_insert after insert on links
begin
  insert into moving_notes (part, a, b)
  values (2, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_links_update after update on links
begin
  insert into moving_notes (part, a, b)
  values (2, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (2, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_links_delete after delete on links
begin
  insert into moving_notes (part, a, b)
  values (2, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_events_insert after insert on events
begin
  insert into moving_notes (part, a, b)
  values (3, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_events_update after update on events
begin
  insert into moving_notes (part, a, b)
  values (3, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (3, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_events_delete after delete on events
begin
  insert into moving_notes (part, a, b)
  values (3, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_keys_insert after insert on keys
begin
  insert into moving_notes (part, a, b)
  values (4, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_keys_update after update on keys
begin
  insert into moving_notes (part, a, b)
  values (4, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (4, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_keys_delete after delete on keys
begin
  insert into moving_notes (part, a, b)
  values (4, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_hours_insert after insert on link_hours
begin
  insert into moving_notes (part, a, b)
  values (5, new.link_id, new.hour)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_hours_update after update on link_hours
begin
  insert into moving_notes (part, a, b)
  values (5, old.link_id, old.hour)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (5, new.link_id, new.hour)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_hours_delete after delete on link_hours
begin
  insert into moving_notes (part, a, b)
  values (5, old.link_id, old.hour)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_days_insert after insert on link_days
begin
  insert into moving_notes (part, a, b)
  values (6, new.link_id, new.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_days_update after update on link_days
begin
  insert into moving_notes (part, a, b)
  values (6, old.link_id, old.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (6, new.link_id, new.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_days_delete after delete on link_days
begin
  insert into moving_notes (part, a, b)
  values (6, old.link_id, old.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_totals_insert after insert on link_totals
begin
  insert into moving_notes (part, a, b)
  values (7, new.link_id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_totals_update after update on link_totals
begin
  insert into moving_notes (part, a, b)
  values (7, old.link_id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (7, new.link_id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_totals_delete after delete on link_totals
begin
  insert into moving_notes (part, a, b)
  values (7, old.link_id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_shares_insert after insert on link_shares
begin
  insert into moving_notes (part, a, b)
  values (iif(new.dimension = 0, 8, 6), new.link_id, new.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_shares_update after update on link_shares
begin
  insert into moving_notes (part, a, b)
  values (iif(old.dimension = 0, 8, 6), old.link_id, old.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (iif(new.dimension = 0, 8, 6), new.link_id, new.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_link_shares_delete after delete on link_shares
begin
  insert into moving_notes (part, a, b)
  values (iif(old.dimension = 0, 8, 6), old.link_id, old.day)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_onces_insert after insert on onces
begin
  insert into moving_notes (part, a, b)
  values (9, new.at, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_onces_update after update on onces
begin
  insert into moving_notes (part, a, b)
  values (9, old.at, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (9, new.at, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_onces_delete after delete on onces
begin
  insert into moving_notes (part, a, b)
  values (9, old.at, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_deleted_users_insert after insert on deleted_users
begin
  insert into moving_notes (part, a, b)
  values (14, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_deleted_users_update after update on deleted_users
begin
  insert into moving_notes (part, a, b)
  values (14, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
  insert into moving_notes (part, a, b)
  values (14, new.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

create trigger moving_deleted_users_delete after delete on deleted_users
begin
  insert into moving_notes (part, a, b)
  values (14, old.id, 0)
  on conflict (part, a, b) do update
  set seq = (select max(seq) + 1 from moving_notes);
end;

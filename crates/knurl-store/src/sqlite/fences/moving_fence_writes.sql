-- Nothing is written any more, by whatever program. Salts may be: they are no answer that anybody was given.

create trigger if not exists moving_fence_users_insert before insert on users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_users_update before update on users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_users_delete before delete on users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_links_insert before insert on links
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_links_update before update on links
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_links_delete before delete on links
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_events_insert before insert on events
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_events_update before update on events
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_events_delete before delete on events
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_keys_insert before insert on keys
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_keys_update before update on keys
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_keys_delete before delete on keys
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_onces_insert before insert on onces
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_onces_update before update on onces
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_onces_delete before delete on onces
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_deleted_users_insert before insert on deleted_users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_deleted_users_update before update on deleted_users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_deleted_users_delete before delete on deleted_users
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_audit_acceptances_insert before insert on audit_acceptances
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_audit_acceptances_update before update on audit_acceptances
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_audit_acceptances_delete before delete on audit_acceptances
begin
  select raise(abort, 'knurl: the database is being moved');
end;

-- Clicks wait in their spools: a batch moves its cursor before anything else.

create trigger if not exists moving_fence_cursors_insert before insert on cursors
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_cursors_update before update on cursors
begin
  select raise(abort, 'knurl: the database is being moved');
end;

create trigger if not exists moving_fence_cursors_delete before delete on cursors
begin
  select raise(abort, 'knurl: the database is being moved');
end;

-- Clicks wait in their spools: no batch can move its cursor.
do $$
declare
  fenced text;
begin
  foreach fenced in array array['cursors']
  loop
    execute format('drop trigger if exists moving_fence on %I', fenced);
    execute format(
      'create trigger moving_fence before insert or update or delete or truncate on %I '
      'for each statement execute function knurl_moving_refuse()',
      fenced
    );
  end loop;
end
$$;

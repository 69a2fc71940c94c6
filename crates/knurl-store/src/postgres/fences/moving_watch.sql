-- Notes every row that is changed from now on.
do $$
declare
  watched record;
begin
  for watched in
    select *
    from (values
      ('users', '1', 'id', '0'),
      ('links', '2', 'id', '0'),
      ('events', '3', 'id', '0'),
      ('clicks', '3', 'id', '0'),
      ('keys', '4', 'id', '0'),
      ('link_hours', '5', 'link_id', 'hour'),
      ('link_days', '6', 'link_id', 'day'),
      ('link_totals', '7', 'link_id', '0'),
      ('link_referrers', '8', 'link_id', 'day'),
      ('onces', '9', 'at', '0'),
      ('deleted_users', '14', 'id', '0')
    ) as watched (name, part, a, b)
  loop
    execute format(
      'create trigger moving_came after insert on %I referencing new table as came '
      'for each statement execute function knurl_moving_note(%L, %L, %L)',
      watched.name, watched.part, watched.a, watched.b
    );
    execute format(
      'create trigger moving_changed after update on %I referencing old table as went new table as came '
      'for each statement execute function knurl_moving_note(%L, %L, %L)',
      watched.name, watched.part, watched.a, watched.b
    );
    execute format(
      'create trigger moving_went after delete on %I referencing old table as went '
      'for each statement execute function knurl_moving_note(%L, %L, %L)',
      watched.name, watched.part, watched.a, watched.b
    );
    execute format(
      'create trigger moving_emptied after truncate on %I for each statement execute function knurl_moving_note_all(%L)',
      watched.name, watched.part
    );
  end loop;
end
$$;

-- Notes nothing any more.
do $$
declare
  known record;
begin
  for known in
    select tgname, relname
    from pg_trigger
    join pg_class on pg_class.oid = tgrelid
    where tgname in ('moving_came', 'moving_changed', 'moving_went', 'moving_emptied')
      and relnamespace = (select oid from pg_namespace where nspname = current_schema())
      and tgparentid = 0
  loop
    execute format('drop trigger %I on %I', known.tgname, known.relname);
  end loop;
end
$$;

-- ?1 state, ?2 check_sum
insert into progress (one, state, check_sum)
values (1, ?1, ?2)
on conflict (one) do update
set state = excluded.state, check_sum = excluded.check_sum

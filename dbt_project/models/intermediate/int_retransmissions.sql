with flows as (

    select
        *,
        {{ is_new_flow() }} as is_new_flow
    from {{ ref('stg_flow_records') }}

),

-- Version 1 has whatever was sent as a flow of its own; UDP sends nothing again by itself.
syns as (

    select * from flows
    where protocol = 6 and log_version in (2, 4) and is_new_flow

),

-- Few ports come again within an hour, and only these are put in order.
repeated as (

    select
        date,
        hour,
        src_ip,
        src_port,
        dst_port
    from syns
    group by date, hour, src_ip, src_port, dst_port
    having count(*) > 1

),

-- A number is put in order at a fraction of what the texts of a connection cost.
numbered as (

    select
        *,
        row_number() over (
            partition by date, hour
            order by src_ip, src_port, dst_port
        ) as ports_no
    from repeated

),

timed as (

    select
        syns.date,
        syns.hour,
        numbered.ports_no,
        syns.dst_ip,
        syns.direction,
        syns.decision,
        {{ log_kind() }} as log_kind,
        {{ log_id() }} as log_id,
        {{ nic() }} as nic,
        {{ milliseconds('syns.flow_time') }} as sent_ms,
        syns.blob,
        syns.record_no,
        syns.flow_no,
        syns.group_no,
        syns.tuple_no
    from syns
    inner join numbered
        on
            syns.date = numbered.date
            and syns.hour = numbered.hour
            and syns.src_ip = numbered.src_ip
            and syns.src_port = numbered.src_port
            and syns.dst_port = numbered.dst_port

),

-- Where a SYN may come again: few, for it is to one of the user's addresses, or from one.
seen_by as (

    select
        *,
        dense_rank() over (
            partition by date, hour
            order by dst_ip, direction, decision, log_kind, log_id, nic
        ) as vantage_no,
        dense_rank() over (
            partition by date, hour
            order by blob
        ) as blob_no
    from (
        select distinct
            date,
            hour,
            dst_ip,
            direction,
            decision,
            log_kind,
            log_id,
            nic,
            blob
        from timed
    ) as seen

),

sent as (

    select
        timed.date,
        timed.hour,
        timed.ports_no,
        seen_by.vantage_no,
        seen_by.blob_no,
        timed.sent_ms,
        timed.blob,
        timed.record_no,
        timed.flow_no,
        timed.group_no,
        timed.tuple_no
    from timed
    inner join seen_by
        on
            timed.date = seen_by.date
            and timed.hour = seen_by.hour
            and timed.dst_ip = seen_by.dst_ip
            and timed.direction = seen_by.direction
            and timed.decision = seen_by.decision
            and timed.log_kind = seen_by.log_kind
            and timed.log_id = seen_by.log_id
            and timed.nic = seen_by.nic
            and timed.blob = seen_by.blob

),

in_order as (

    select
        *,
        lag(sent_ms, 1) over same_connection as last_ms,
        lag(sent_ms, 2) over same_connection as last_but_one_ms,
        row_number() over same_connection as place
    from sent
    window same_connection as (
        partition by date, hour, ports_no, vantage_no
        order by sent_ms, blob_no, record_no, flow_no, group_no, tuple_no
    )

),

-- What is no longer wait than the one before begins something else.
waits as (

    select
        *,
        case
            when
                {{ is_longer_wait('(last_ms - last_but_one_ms)', '(sent_ms - last_ms)') }}
                then 0
            else 1
        end as is_first_wait
    from in_order

),

-- Times only grow, so that the greatest beginning so far is that of the chain.
chains as (

    select
        *,
        max(case when is_first_wait = 1 then place end) over so_far as chain,
        max(case when is_first_wait = 1 then last_ms end) over so_far as chain_from_ms,
        max(case when is_first_wait = 1 then sent_ms end) over so_far as first_again_ms
    from waits
    window so_far as (
        partition by date, hour, ports_no, vantage_no
        order by place
        rows between unbounded preceding and current row
    )

),

-- The first tuple of all is a chain of its own, which begins with no wait.
with_end as (

    select
        *,
        max(sent_ms) over (
            partition by date, hour, ports_no, vantage_no, chain
        ) as chain_to_ms
    from chains
    where place > 1 and first_again_ms - chain_from_ms {{ retransmitted_after() }}

)

select
    date,
    hour,
    blob,
    record_no,
    flow_no,
    group_no,
    tuple_no
from with_end
where chain_to_ms - chain_from_ms <= {{ retransmitted_within() }}

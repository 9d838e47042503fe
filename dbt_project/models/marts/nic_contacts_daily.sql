with flows as (

    select
        date,
        upper(coalesce(mac, '')) as mac,
        case when direction = 'I' then dst_ip else src_ip end as ip,
        case when direction = 'I' then src_ip else dst_ip end as remote_ip,
        direction,
        decision,
        flow_time,
        coalesce(record_time, flow_time) as recorded_at,
        is_new_flow,
        is_malicious
    from {{ ref('fct_flows') }}

),

-- Fewer than flows, so that each address is looked at once.
by_remote as (

    select
        date,
        mac,
        ip,
        remote_ip,
        direction,
        min(flow_time) as first_flow_at,
        min(recorded_at) as first_record_at,
        min(case when decision = 'A' then flow_time end) as first_allowed_at,
        min(case when is_malicious then flow_time end) as first_malicious_at,
        sum(case when is_new_flow then 1 else 0 end) as flows
    from flows
    group by date, mac, ip, remote_ip, direction

),

with_probers as (

    select
        *,
        direction = 'I' and {{ is_internet('remote_ip') }} as is_probe
    from by_remote

),

firsts as (

    select
        date,
        mac,
        ip,
        min(first_flow_at) as first_flow_at,
        min(first_record_at) as first_record_at,
        min(case when direction = 'O' then first_flow_at end) as first_outbound_at,
        min(case when direction = 'O' then first_record_at end) as first_outbound_record_at,
        min(case when is_probe then first_flow_at end) as first_probe_at,
        min(case when is_probe then first_allowed_at end) as first_allowed_at,
        min(case when is_probe then first_malicious_at end) as first_malicious_at,
        sum(case when is_probe then flows else 0 end) as probes
    from with_probers
    group by date, mac, ip

),

online as (

    select
        firsts.date,
        firsts.mac,
        firsts.ip,
        min(times.online_at) as online_at
    from firsts
    inner join {{ online_times() }} as times
        on firsts.mac = times.nic or firsts.ip = times.nic
    group by firsts.date, firsts.mac, firsts.ip

),

nics as (

    select
        firsts.*,
        online.online_at
    from firsts
    left join online
        on firsts.date = online.date and firsts.mac = online.mac and firsts.ip = online.ip

),

early as (

    select
        nics.date,
        nics.mac,
        nics.ip,
        sum(
            case
                when nics.first_outbound_at <= flows.flow_time then 0
                else 1
            end
        ) as probes_before_outbound,
        sum(case when flows.flow_time < nics.online_at then 1 else 0 end) as probes_before_online
    from flows
    inner join nics
        on flows.date = nics.date and flows.mac = nics.mac and flows.ip = nics.ip
    where
        flows.direction = 'I'
        and flows.is_new_flow
        and (
            nics.first_outbound_at is null
            or flows.flow_time < nics.first_outbound_at
            or flows.flow_time < nics.online_at
        )
        and {{ is_internet('flows.remote_ip') }}
    group by nics.date, nics.mac, nics.ip

)

select
    nics.date,
    nics.mac,
    nics.ip,
    nics.first_flow_at,
    nics.first_record_at,
    nics.first_outbound_at,
    nics.first_outbound_record_at,
    nics.first_probe_at,
    nics.first_allowed_at,
    nics.first_malicious_at,
    nics.online_at,
    cast(nics.probes as bigint) as probes,
    cast(coalesce(early.probes_before_outbound, 0) as bigint) as probes_before_outbound,
    case
        when nics.online_at is not null then cast(coalesce(early.probes_before_online, 0) as bigint)
    end as probes_before_online
from nics
left join early
    on nics.date = early.date and nics.mac = early.mac and nics.ip = early.ip

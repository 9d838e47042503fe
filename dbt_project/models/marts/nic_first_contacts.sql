{{ config(materialized='view') }}

with contacts as (

    select * from {{ ref('nic_contacts_daily') }}

),

sources as (

    select * from {{ ref('nic_sources_daily') }}

),

logs as (

    select min({{ hour_of('written_date', 'written_hour') }}) as begin_at
    from {{ ref('coverage_hourly') }}

),

firsts as (

    select
        mac,
        ip,
        min(first_flow_at) as first_flow_at,
        min(first_record_at) as first_record_at,
        min(first_outbound_at) as first_outbound_at,
        min(first_outbound_record_at) as first_outbound_record_at,
        min(first_probe_at) as first_probe_at,
        min(first_allowed_at) as first_allowed_at,
        min(first_malicious_at) as first_malicious_at,
        min(online_at) as online_at
    from contacts
    group by mac, ip

),

nics as (

    select
        *,
        coalesce(online_at, first_outbound_at) as came_online_at
    from firsts

),

-- Days are known to hold all, some or none of what was before.
probes as (

    select
        nics.mac,
        nics.ip,
        sum(
            case
                when nics.online_at is null then contacts.probes_before_outbound
                when contacts.date < cast(nics.online_at as date) then contacts.probes
                else contacts.probes_before_online
            end
        ) as probes
    from nics
    inner join contacts on nics.mac = contacts.mac and nics.ip = contacts.ip
    where nics.came_online_at is null or contacts.date <= cast(nics.came_online_at as date)
    group by nics.mac, nics.ip

),

before as (

    select
        nics.mac,
        nics.ip,
        count(distinct sources.src_ip) as sources
    from nics
    inner join sources on nics.mac = sources.mac and nics.ip = sources.ip
    where nics.came_online_at is null or sources.first_at < nics.came_online_at
    group by nics.mac, nics.ip

),

probers as (

    select
        nics.mac,
        nics.ip,
        min(sources.src_ip) as src_ip
    from nics
    inner join sources
        on
            nics.mac = sources.mac
            and nics.ip = sources.ip
            and nics.first_probe_at = sources.first_at
    group by nics.mac, nics.ip

),

visits as (

    select
        sources.mac,
        sources.ip,
        sources.first_at,
        sources.returned_at,
        lag(sources.last_at) over (
            partition by sources.mac, sources.ip order by sources.date
        ) as left_at
    from probers
    inner join sources
        on
            probers.mac = sources.mac
            and probers.ip = sources.ip
            and probers.src_ip = sources.src_ip

),

returns as (

    select
        mac,
        ip,
        min(
            case when first_at >= left_at + {{ away() }} then first_at else returned_at end
        ) as returned_at
    from visits
    group by mac, ip

)

select
    nics.mac,
    nics.ip,
    nics.first_flow_at,
    nics.first_probe_at,
    probers.src_ip as first_prober,
    returns.returned_at as first_prober_returned_at,
    nics.first_allowed_at,
    nics.first_malicious_at,
    nics.first_outbound_at,
    nics.online_at,
    nics.came_online_at,
    case
        when nics.first_probe_at >= nics.came_online_at
            then {{ seconds_between('nics.came_online_at', 'nics.first_probe_at') }}
        else -{{ seconds_between('nics.first_probe_at', 'nics.came_online_at') }}
    end as seconds_to_first_probe,
    cast(coalesce(probes.probes, 0) as bigint) as probes_before_online,
    cast(coalesce(before.sources, 0) as bigint) as sources_before_online,
    case
        when nics.came_online_at is null then 'never_online'
        when
            coalesce(nics.online_at < logs.begin_at, false)
            or (
                nics.online_at is null
                and (
                    nics.first_outbound_record_at <= nics.first_record_at
                    or coalesce(
                        nics.first_flow_at < logs.begin_at + {{ beginning_of_logs() }}, false
                    )
                )
            )
            then 'logs_begin_too_late'
        when coalesce(nics.first_probe_at < nics.came_online_at, false) then 'probed_before_online'
        else 'not_probed_before_online'
    end as verdict
from nics
cross join logs
left join probes on nics.mac = probes.mac and nics.ip = probes.ip
left join before on nics.mac = before.mac and nics.ip = before.ip
left join probers on nics.mac = probers.mac and nics.ip = probers.ip
left join returns on nics.mac = returns.mac and nics.ip = returns.ip

{#- How a flow is called after what its two ends are. docs/how-to/networks.md has the rules in words. -#}

{#- What one end is: the user's networks go before what the logs tell of a NIC's own address, and
    that before what is known of the address alone. -#}
{% macro place_of(lookup, own) %}
case
        when {{ lookup }}.address_class = 'azure_platform' then 'platform'
        when {{ lookup }}.address_class = 'multicast' then 'multicast'
        when {{ lookup }}.network_kind in ('vnet', 'subnet') then 'vnet'
        when {{ lookup }}.network_kind = 'public' then 'own_public'
        when {{ lookup }}.network_kind is not null then {{ lookup }}.network_kind
        when
            {{ lookup }}.address_class in ('private', 'shared', 'unique_local')
            and {{ own }}.ip is not null
            then 'vnet'
        when {{ lookup }}.address_class in ('private', 'unique_local') then 'private'
        when {{ lookup }}.address_class = 'documentation' then 'public'
        else coalesce({{ lookup }}.address_class, 'unknown')
    end
{% endmacro %}


{#- Whether both ends are in one virtual network; null where that is not known of one of them. A user
    may have two of one name, so names are compared only where nothing better is at hand. -#}
{% macro is_one_vnet(src, own_src, dst, own_dst) %}
case
        when {{ src }}.vnet is not null and {{ dst }}.vnet is not null
            then lower({{ src }}.vnet) = lower({{ dst }}.vnet)
        when {{ own_src }}.vnet_id is not null and {{ own_dst }}.vnet_id is not null
            then {{ own_src }}.vnet_id = {{ own_dst }}.vnet_id
        else
            coalesce(lower({{ src }}.vnet), {{ own_src }}.vnet_name)
            = coalesce(lower({{ dst }}.vnet), {{ own_dst }}.vnet_name)
    end
{% endmacro %}


{#- In the order in which Traffic Analytics decides, with types of our own where it has none. -#}
{% macro flow_type(src, dst) %}
{%- set ends = "(" ~ src ~ ", " ~ dst ~ ")" -%}
case
        when 'platform' in {{ ends }} then 'AzurePlatform'
        when 'multicast' in {{ ends }} then 'Multicast'
        when {{ src }} = 'vnet' and {{ dst }} = 'vnet'
            then
                case
                    when is_one_vnet then 'IntraVNet'
                    when not is_one_vnet then 'InterVNet'
                    else 'KnownPrivate'
                end
        -- A site that reaches the internet through Azure is no flow between sites.
        when
            'site' in {{ ends }}
            and not ('azure' in {{ ends }} or 'public' in {{ ends }} or 'own_public' in {{ ends }})
            then 'S2S'
        when
            'p2s' in {{ ends }}
            and not ('azure' in {{ ends }} or 'public' in {{ ends }} or 'own_public' in {{ ends }})
            then 'P2S'
        when 'azure' in {{ ends }} then 'AzurePublic'
        when 'public' in {{ ends }} and is_malicious then 'MaliciousFlow'
        when 'public' in {{ ends }} then 'ExternalPublic'
        when 'own_public' in {{ ends }} then 'OwnPublic'
        when 'shared' in {{ ends }} then 'CarrierGrade'
        when 'private' in {{ ends }} and 'vnet' in {{ ends }} then 'UnknownPrivate'
        else 'Unknown'
    end
{% endmacro %}

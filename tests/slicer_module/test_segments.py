"""Label maps in a real MRML scene."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from bare_slicer import BareSlicer
from chests import affine_of as chest_affine
from chests import axis_orders, chest_hu, rotations, volume_of
from hypothesis import given, settings
from SimCroPSlicerLib import provenance, scene, segments
from SimCroPSlicerLib.geometry import affine_of

from simcrop_core.imaging.affine import apply

NAMES = {1: "left lung", 2: "right lung", 4: "heart"}
SHAPE = (45, 40, 35)


def chest(bare, **where):
    affine = chest_affine(shape=SHAPE, spacing=(8.0, 7.0, 9.0), **where)
    volume = volume_of(chest_hu, affine, SHAPE)
    grid = apply(affine, np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1))
    labels = np.zeros(SHAPE[::-1], np.uint8).T
    labels[(volume.voxels == -850) & (grid[..., 0] < 0)] = 1
    labels[(volume.voxels == -850) & (grid[..., 0] > 0)] = 2
    labels[volume.voxels == 50] = 4
    return bare.add_volume(volume.voxels, affine), labels


def added(bare, **where):
    ct, labels = chest(bare, **where)
    return ct, labels, segments.add_segmentation(ct, labels, NAMES, title="SimCroP chest", facts={"weights": "starter"})


@settings(max_examples=10, deadline=None)
@given(order=axis_orders, rotation=rotations)
def test_every_voxel_comes_back_on_any_grid(order, rotation):
    """Slicer's own way from a segment to an array on the CT's grid gives the engine's labels, voxel by voxel."""
    ct, labels, node = added(BareSlicer(), order=order[0], signs=order[1], rotation=rotation)
    for value, name in NAMES.items():
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        back = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, ct)
        assert np.array_equal(back.transpose(2, 1, 0), labels == value), name


def test_a_surface_encloses_its_organ_and_the_volume_is_about_right(bare):
    """Oracle: the ellipsoid that the chest is drawn from."""
    _, labels, node = added(bare, rotation=(10, 5, -5))
    assert [name for name in segments.surfaces(node, labels) if name] == list(NAMES.values())
    surface = node.GetSegmentation().GetSegment("right lung").GetRepresentation(segments.SURFACE)
    mass = vtk.vtkMassProperties()
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(surface)
    mass.SetInputConnection(triangles.GetOutputPort())
    voxel_ml = 8 * 7 * 9 / 1000
    assert mass.GetVolume() / 1000 == pytest.approx((labels == 2).sum() * voxel_ml, rel=0.08)
    centre = np.mean(np.reshape(surface.GetBounds(), (3, 2)), axis=1)
    assert np.allclose(centre, (65, 5, 0), atol=9)


def test_seg_nrrd_keeps_names_colours_codes_and_voxels(bare, tmp_path):
    ct, labels, node = added(bare, rotation=(0, 12, 3))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "organs.seg.nrrd"))
    assert storage.WriteData(node)
    header = (tmp_path / "organs.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "SCT^39607008^Lung~SCT^7771000^Left" in header
    back = bare.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "back")
    assert storage.ReadData(back)
    segmentation = back.GetSegmentation()
    assert [segmentation.GetNthSegment(i).GetName() for i in range(3)] == list(NAMES.values())
    segment_id = segmentation.GetSegmentIdBySegmentName("heart")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(back, segment_id, ct)
    assert np.array_equal(array.transpose(2, 1, 0), labels == 4)
    assert np.allclose(segmentation.GetSegment(segment_id).GetColor(), np.divide((206, 110, 84), 255), atol=2e-3)


def test_a_saved_scene_brings_the_segmentation_back(bare, tmp_path):
    ct, labels, _ = added(bare)
    bare.save(tmp_path / "scene.mrb")
    other = BareSlicer.loaded(tmp_path / "scene.mrb").scene
    (node,) = provenance.results_in(other, "segmentation")
    assert provenance.source_of(node).GetName() == ct.GetName()
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is provenance.source_of(node)
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName("left lung")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, provenance.source_of(node))
    assert np.array_equal(array.transpose(2, 1, 0), labels == 1)


def test_mean_hounsfield_slab_by_slab_is_the_mean(bare):
    ct, labels, _ = added(bare)
    measure = segments.MeanHounsfield(ct, labels, most=SHAPE[0] * SHAPE[1] * 4)
    steps = 1
    while measure.step():
        steps += 1
    assert steps > 5
    assert measure.means() == pytest.approx({1: -850.0, 2: -850.0, 4: 50.0})


def test_the_table_has_a_row_a_structure(bare):
    node = bare.scene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    segments.fill_table(node, [("left lung", 2300.04, -812.26), ("heart", 0.0, None)])
    table = node.GetTable()
    assert [table.GetColumnName(i) for i in range(3)] == ["Structure", "Volume (mL)", "Mean (HU)"]
    assert table.GetValueByName(0, "Volume (mL)").ToDouble() == pytest.approx(2300.0)
    assert np.isnan(table.GetValueByName(1, "Mean (HU)").ToDouble())


def test_an_attention_region_says_what_it_is_not_and_is_no_measured_segment(bare):
    ct, _, organs = added(bare)
    patches = chest_affine(shape=(14, 14, 14), spacing=(24.0,) * 3)
    scores = np.zeros((14, 14, 14), np.float32)
    scores[6, 7, 7] = 0.8
    heat = scene.add_heatmap(ct, scores, patches, "Mass.", scale=(0.4, 0.6), facts={})
    surface = scene.region_surface(scores, patches, 0.4)
    node = segments.add_attention_segment(ct, heat, surface, (1.0, 0.5, 0.0))
    assert node is segments.add_attention_segment(ct, heat, surface, (0.0, 0.5, 1.0)), "one collection a CT"
    assert node is not organs
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "attention region, not a measurement: Mass."
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    assert provenance.fact(node, "kind") == "attention"
    centre = node.GetSegmentCenter(segment_id)
    assert np.allclose(centre, apply(affine_of(heat), (6, 7, 7)), atol=6)

"""Stand-ins for Slicer's `qt`, `ctk`, widgets, parameter nodes and module classes, on PySide6 over real MRML.

True to PythonQt where it differs from PySide: properties are attributes and no callables, signals are connected by
their C++ signature.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
import weakref
from pathlib import Path

import shiboken6
import slicer
import slicer.util
from bare_slicer import BareSlicer
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

# Static functions that share their name with a property.
_STATIC = {("QTimer", "singleShot")}
_WRAPPED: dict[str, type] = {}


def _attribute(name, setter):
    if setter is None:
        return property(lambda self: self.property(name))
    return property(lambda self: self.property(name), lambda self, value: getattr(self, setter)(value))


class _PythonQt:
    name = property(lambda self: QtCore.QObject.objectName(self), lambda self, value: self.setObjectName(value))

    def __init__(self, *args):
        super().__init__(*args)
        # shiboken treats QObject.connect as its own: only an attribute of the instance comes before it. A weak one, or
        # no object would end before the next collection, wherever that happens.
        me = weakref.ref(self)
        self.connect = lambda signal, slot: bool(getattr(me(), signal.split("(")[0]).connect(slot)) or True
        self.disconnect = lambda signal, slot: getattr(me(), signal.split("(")[0]).disconnect(slot)

    def className(self):
        return next(c.__name__ for c in type(self).__mro__ if c.__name__ != "_PythonQt")


def wrapped(base):
    """A PySide class with PythonQt's manners."""
    meta, attributes = base.staticMetaObject, {}
    for i in range(meta.propertyCount()):
        name = meta.property(i).name()
        setter = "set" + name[0].upper() + name[1:]
        if name != "objectName" and (base.__name__, name) not in _STATIC:
            attributes[name] = _attribute(name, setter if hasattr(base, setter) else None)
    cls = type(base.__name__, (_PythonQt, base), attributes)
    _WRAPPED[base.__name__] = cls
    return cls


def _is_object(value):
    return isinstance(value, type) and issubclass(value, QtCore.QObject) and value is not QtWidgets.QApplication


def _qt_module():
    qt = types.ModuleType("qt")
    for module in (QtCore, QtGui, QtNetwork, QtWidgets):
        for name in dir(module):
            value = getattr(module, name)
            setattr(qt, name, wrapped(value) if _is_object(value) and name[0] == "Q" else value)
    return qt


qt = _qt_module()


class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = QtCore.Signal("vtkMRMLScene*")

    def setMRMLScene(self, scene):
        for child in QtCore.QObject.findChildren(self, QtWidgets.QWidget):
            if child is not self and hasattr(child, "setMRMLScene"):
                child.setMRMLScene(scene)


class qMRMLNodeComboBox(qt.QComboBox):
    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._ids = None, []
        self.currentIndexChanged.connect(lambda _index: self.currentNodeChanged.emit(self.currentNode()))

    def setMRMLScene(self, scene):
        self._scene = scene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
            scene.AddObserver(event, lambda *_: shiboken6.isValid(self) and self._refresh())
        self._refresh()

    def _refresh(self):
        if self._scene.IsBatchProcessing():
            return
        current = self.currentNodeID
        before = self.blockSignals(True)
        self.clear()
        self._ids = [""] if self.property("noneEnabled") else []
        QtWidgets.QComboBox.addItems(self, ["None"] * len(self._ids))
        for class_name in self.property("nodeTypes") or []:
            for i in range(self._scene.GetNumberOfNodesByClass(class_name)):
                node = self._scene.GetNthNodeByClass(i, class_name)
                if not node.GetHideFromEditors():
                    self._ids.append(node.GetID())
                    self.addItem(node.GetName())
        if current in self._ids:
            self.setCurrentIndex(self._ids.index(current))
        self.blockSignals(before)
        if self.currentNodeID != current:
            self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self):
        index = QtWidgets.QComboBox.currentIndex(self)
        known = self._scene is not None and 0 <= index < len(self._ids) and self._ids[index]
        return self._scene.GetNodeByID(self._ids[index]) if known else None

    currentNodeID = property(lambda self: self.currentNode().GetID() if self.currentNode() else "")

    def setCurrentNode(self, node):
        if node is not None and node.GetID() not in self._ids:
            self._refresh()
        self.setCurrentIndex(self._ids.index(node.GetID() if node else ""))


class ctkCollapsibleButton(qt.QGroupBox):
    def event(self, event):
        if event.type() == QtCore.QEvent.DynamicPropertyChange:
            self.setTitle(self.property("text") or "")
            self._show_children()
        return super().event(event)

    def childEvent(self, event):
        super().childEvent(event)

    def _show_children(self):
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not self.property("collapsed"))
        self.setMaximumHeight(26 if self.property("collapsed") else 16777215)

    def _set(self, value):
        self.setProperty("collapsed", bool(value))

    collapsed = property(lambda self: bool(self.property("collapsed")), _set)


class ctkSliderWidget(qt.QWidget):
    valueChanged = QtCore.Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._box = QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.valueChanged.connect(lambda value: self._box.setValue(value / 100))
        self._box.valueChanged.connect(self._changed)

    def event(self, event):
        if event.type() == QtCore.QEvent.DynamicPropertyChange:
            low, high = (self.property(name) for name in ("minimum", "maximum"))
            if low is not None and high is not None:
                self._box.setRange(low, high)
                self._slider.setRange(round(low * 100), round(high * 100))
                self._box.setSingleStep(self.property("singleStep") or 0.01)
        return super().event(event)

    def _changed(self, value):
        self._slider.setValue(round(value * 100))
        self.valueChanged.emit(value)

    value = property(lambda self: self._box.value(), lambda self, value: self._box.setValue(value))


_OWN = {c.__name__: c for c in (qMRMLWidget, qMRMLNodeComboBox, ctkCollapsibleButton, ctkSliderWidget)}


class QUiLoader(QtUiTools.QUiLoader):
    def createWidget(self, class_name, parent=None, name=""):
        widget = (_OWN.get(class_name) or _WRAPPED[class_name])(parent)
        widget.setObjectName(name)
        return widget


qt.QUiLoader = QUiLoader

# What Slicer's parameter node wrapper connects: widget → (read, write, signal).
_CONNECTORS = [
    (qMRMLNodeComboBox, lambda w: w.currentNode(), lambda w, v: w.setCurrentNode(v), "currentNodeChanged"),
    (QtWidgets.QCheckBox, lambda w: w.checked, lambda w, v: w.setChecked(v), "toggled"),
    (ctkSliderWidget, lambda w: w.value, lambda w, v: setattr(w, "value", v), "valueChanged"),
    (QtWidgets.QComboBox, lambda w: w.currentText, lambda w, v: w.setCurrentText(v), "currentTextChanged"),
]


class WithinRange:
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


class Choice:
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"{value} is not one of {self.choices}")


def _parameter(name, kind, validators):
    is_node = isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)

    def read(self):
        if is_node:
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        return text == "True" if kind is bool else kind(text)

    def write(self, value):
        if is_node:
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value else None)
            return
        if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise TypeError(f"{name} is a {kind}")
        for validator in validators:
            validator.validate(value)
        self.parameterNode.SetParameter(name, str(value))

    return property(read, write)


def parameterNodeWrapper(cls):
    """Slicer's decorator: typed attributes kept in a MRML node, and their connection to widgets by name."""
    if any(isinstance(annotation, str) for annotation in cls.__annotations__.values()):
        raise TypeError("the wrapper reads types, not their names: no `from __future__ import annotations` here")
    hints = typing.get_type_hints(cls, include_extras=True)
    kinds = {name: typing.get_args(hint) or (hint,) for name, hint in hints.items()}
    defaults = {name: getattr(cls, name) for name in kinds if hasattr(cls, name)}

    def __init__(self, node):  # noqa: N807
        self.parameterNode = node
        self._connected = {}
        for name, value in defaults.items():
            if not node.GetParameter(name):
                setattr(self, name, value)

    def connectGui(self, ui):
        links = []
        for widget in vars(ui).values():
            name = widget.property("SlicerParameterName") if isinstance(widget, QtCore.QObject) else None
            if name:
                links.append((name, widget, *next(c[1:] for c in _CONNECTORS if isinstance(widget, c[0]))))
        slots = [(getattr(w, signal), self._slot(name, w, read)) for name, w, read, _write, signal in links]
        for signal, slot in slots:
            signal.connect(slot)

        def to_widgets(*_):
            for name, widget, read, write, _signal in links:
                if read(widget) != getattr(self, name):
                    write(widget, getattr(self, name))

        tag = self.parameterNode.AddObserver("ModifiedEvent", to_widgets)
        self._connected[tag] = slots
        to_widgets()
        return tag

    def disconnectGui(self, tag):
        for signal, slot in self._connected.pop(tag, []):
            signal.disconnect(slot)
        self.parameterNode.RemoveObserver(tag)

    def _slot(self, name, widget, read):
        return lambda *_: setattr(self, name, read(widget))

    body = {name: _parameter(name, kind, validators) for name, (kind, *validators) in kinds.items()}
    functions = {f.__name__: f for f in (__init__, connectGui, disconnectGui, _slot)}
    return type(cls.__name__, (), {**body, **functions})


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        self.parent = parent
        self.layout = parent.layout()

    def setup(self):
        """Slicer adds its Reload & Test section here."""

    def resourcePath(self, name):
        return str(Path(inspect.getfile(type(self))).parent / "Resources" / name)


class ScriptedLoadableModuleLogic:
    moduleName = "SimCroPSlicer"

    def getParameterNode(self):
        scene = slicer.mrmlScene
        for i in range(scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")):
            node = scene.GetNthNodeByClass(i, "vtkMRMLScriptedModuleNode")
            if node.GetModuleName() == self.moduleName:
                return node
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetModuleName(self.moduleName)
        node.SetSingletonTag(self.moduleName)
        return scene.AddNode(node)


class ScriptedLoadableModuleTest:
    pass


def _install():
    ctk = types.ModuleType("ctk")
    for name, cls in _OWN.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, cls)
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = (lambda text, *_: text), (lambda _context, text, *_: text)
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper, wrapper.WithinRange, wrapper.Choice = parameterNodeWrapper, WithinRange, Choice
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
        ScriptedLoadableModuleWidget,
    ):
        setattr(module, cls.__name__, cls)
    sys.modules.update({"qt": qt, "ctk": ctk})
    for extra in (i18n, wrapper, module):
        sys.modules[extra.__name__] = extra
        setattr(slicer, extra.__name__.split(".")[1], extra)


class Application(BareSlicer):
    """A scene with Qt's event loop beside it, and `slicer.app`."""

    def __init__(self):
        super().__init__()
        self.qt_application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer"])
        self.startup = []
        slicer.app = types.SimpleNamespace(
            processEvents=self.qt_application.processEvents,
            applicationLogic=lambda: self.application,
            testingEnabled=lambda: True,
            connect=lambda _signal, slot: self.startup.append(slot),
            settings=lambda: QtCore.QSettings("simcrop-test", "simcrop-test"),
        )


_install()
